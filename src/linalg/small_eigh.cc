#include "src/linalg/small_eigh.h"

#include <ATen/ATen.h>

#include <vector>

#include "src/base/parallel.h"

namespace scorejet::linalg {

constexpr int64_t kSmallEigh = 128;  // rows, up to which one thread a matrix is the faster way

std::pair<at::Tensor, at::Tensor> small_eigh(const at::Tensor& matrices) {
  const bool small = matrices.dim() == 3 && matrices.device().is_cpu() &&
                     matrices.size(1) <= kSmallEigh && matrices.size(0) > 0;
  if (!small || (at::GradMode::is_enabled() && matrices.requires_grad())) {
    const auto [values, vectors] = at::linalg_eigh(matrices);
    return {values, vectors};
  }
  const at::Tensor held = matrices.detach();
  at::Tensor values = at::empty({held.size(0), held.size(1)}, held.options());
  at::Tensor vectors = at::empty_like(held, at::MemoryFormat::Contiguous);
  base::parallel_for_small_blas(held.size(0), [&](int64_t begin, int64_t end) {
    const auto [theta, s] = at::linalg_eigh(held.slice(0, begin, end));
    values.slice(0, begin, end).copy_(theta);
    vectors.slice(0, begin, end).copy_(s);
  });
  return {values, vectors};
}

}  // namespace scorejet::linalg
