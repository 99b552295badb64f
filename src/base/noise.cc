#include "src/base/noise.h"

#include <ATen/ATen.h>

#include <vector>

#include "src/base/seed.h"

namespace scorejet::base {

at::Tensor add_noise(const at::Tensor& x, double sigma, const at::Generator& generator) {
  return x + sigma * at::randn(x.sizes(), generator, x.options());
}

at::Tensor add_row_noise(const at::Tensor& x, double sigma, uint64_t seed, std::string_view stream,
                         int64_t first_row) {
  std::vector<at::Tensor> rows;
  for (int64_t i = 0; i < x.size(0); ++i) {
    const at::Generator generator =
        make_generator(seed, stream, static_cast<uint64_t>(first_row + i));
    rows.push_back(at::randn({x.size(1)}, generator, at::TensorOptions(x.scalar_type())));
  }
  return x + sigma * at::stack(rows).to(x.device());
}

}  // namespace scorejet::base
