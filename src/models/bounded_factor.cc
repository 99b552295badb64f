#include "src/models/bounded_factor.h"

#include <ATen/ATen.h>
#include <torch/autograd.h>

#include <cmath>

#include "src/base/check.h"
#include "src/base/fast_paths.h"
#include "src/base/parallel.h"
#include "src/models/bound_kernels.h"

namespace scorejet::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double kFactorBound = 4.0;

double unit_of(const at::Tensor& raw) { return 1 / std::sqrt(static_cast<double>(raw.size(2))); }

bool is_float(const at::Tensor& x) {
  return x.device().is_cpu() && x.scalar_type() == at::kFloat && x.layout() == at::kStrided;
}

// Whether a sample's columns, rather than its coordinates' entries, lie together.
bool by_columns(const at::Tensor& factor) { return factor.transpose(1, 2).is_contiguous(); }

at::Tensor dense(const at::Tensor& factor, bool columns) {
  return columns ? factor.transpose(1, 2).contiguous().transpose(1, 2) : factor.contiguous();
}

// body(shape, offset in the factors, e) for every sample, on all threads.
template <typename F>
void for_each_sample(const at::Tensor& factor, const at::Tensor& scale, bool columns,
                     const F& body) {
  const int64_t dim = factor.size(1), rank = factor.size(2);
  const FactorShape shape = columns ? FactorShape{rank, dim, true} : FactorShape{dim, rank, false};
  const int64_t grain = 1 + (1 << 15) / std::max<int64_t>(1, dim * rank);
  base::parallel_for(factor.size(0), grain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      body(shape, n * dim * rank, scale.data_ptr<float>() + n * dim);
    }
  });
}

at::Tensor bound(const at::Tensor& any, const at::Tensor& scale) {
  const bool columns = by_columns(any);
  const at::Tensor raw = dense(any, columns);
  const at::Tensor result = at::empty_like(raw);  // keeps the layout
  const auto unit = static_cast<float>(unit_of(raw));
  for_each_sample(raw, scale, columns, [&](const FactorShape& shape, int64_t at, const float* e) {
    bound_kernels().bound(shape, raw.data_ptr<float>() + at, e, unit,
                          result.data_ptr<float>() + at);
  });
  return result;
}

at::Tensor differentiate(const at::Tensor& any, const at::Tensor& scale, const at::Tensor& output) {
  const bool columns = by_columns(any);
  const at::Tensor raw = dense(any, columns), gradient = dense(output, columns);
  const at::Tensor result = at::empty_like(raw);
  const auto unit = static_cast<float>(unit_of(raw));
  for_each_sample(raw, scale, columns, [&](const FactorShape& shape, int64_t at, const float* e) {
    bound_kernels().differentiate(shape, raw.data_ptr<float>() + at, e, unit,
                                  gradient.data_ptr<float>() + at, result.data_ptr<float>() + at);
  });
  return result;
}

struct BoundedFactor : torch::autograd::Function<BoundedFactor> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& raw,
                            const at::Tensor& scale) {
    context->save_for_backward({raw, scale});
    return bound(raw, scale);
  }
  static variable_list backward(AutogradContext* context, variable_list outputs) {
    const variable_list saved = context->get_saved_variables();
    if (!at::GradMode::is_enabled()) return {differentiate(saved[0], saved[1], outputs[0]), {}};
    return {torch::autograd::grad({bounded_factor_plain(saved[0], saved[1])}, {saved[0]},
                                  {outputs[0]}, true, true)[0],
            {}};
  }
};

}  // namespace

at::Tensor bounded_factor_plain(const at::Tensor& raw, const at::Tensor& scale) {
  base::check_shape("models::bounded_factor", "raw", raw, {-1, -1, -1});
  base::check_shape("models::bounded_factor", "scale", scale, {raw.size(0), raw.size(1)});
  const at::Tensor u = raw * unit_of(raw);
  return scale.unsqueeze(-1) * (u * (1 + (u / kFactorBound).square()).rsqrt());
}

at::Tensor bounded_factor(const at::Tensor& raw, const at::Tensor& scale) {
  const bool grad = at::GradMode::is_enabled();
  if (raw.dim() != 3 || scale.dim() != 2 || scale.size(0) != raw.size(0) ||
      scale.size(1) != raw.size(1) || !is_float(raw) || !is_float(scale) ||
      (grad && scale.requires_grad()) || !base::fast(base::FastPath::kBoundedFactor)) {
    return bounded_factor_plain(raw, scale);
  }
  const at::Tensor e = scale.contiguous();
  return grad && raw.requires_grad() ? BoundedFactor::apply(raw, e) : bound(raw, e);
}

}  // namespace scorejet::models
