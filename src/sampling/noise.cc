#include "src/sampling/noise.h"

#include <ATen/ATen.h>
#include <ATen/core/PhiloxRNGEngine.h>

#include <cmath>
#include <numbers>

#include "src/base/parallel.h"
#include "src/base/seed.h"

namespace scorejet::sampling {
namespace {

constexpr double kUnit = 1.0 / 4294967296.0;            // 2^-32
constexpr uint64_t kUniformOffset = uint64_t{1} << 40;  // beyond every normal number of a step

at::philox_engine engine(uint64_t seed, int64_t chain, int64_t step, uint64_t offset) {
  return at::philox_engine(base::derive_seed(seed, "chain", static_cast<uint64_t>(chain)),
                           static_cast<uint64_t>(step), offset);
}

}  // namespace

at::Tensor Noise::normal(int64_t dim, const at::TensorOptions& options) const {
  const at::Tensor result = at::empty({num_chains_, dim}, at::TensorOptions(at::kDouble));
  double* data = result.data_ptr<double>();
  base::parallel_for(num_chains_, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      at::philox_engine draw = engine(seed_, c, step_, 0);
      double* row = data + c * dim;
      for (int64_t i = 0; i < dim; i += 2) {
        const double radius = std::sqrt(-2 * std::log((draw() + 0.5) * kUnit));
        const double angle = 2 * std::numbers::pi * (draw() + 0.5) * kUnit;
        row[i] = radius * std::cos(angle);
        if (i + 1 < dim) row[i + 1] = radius * std::sin(angle);
      }
    }
  });
  return result.to(options);
}

at::Tensor Noise::uniform(int64_t slot, const at::TensorOptions& options) const {
  const at::Tensor result = at::empty({num_chains_}, at::TensorOptions(at::kDouble));
  double* data = result.data_ptr<double>();
  for (int64_t c = 0; c < num_chains_; ++c) {
    at::philox_engine draw = engine(seed_, c, step_, kUniformOffset + static_cast<uint64_t>(slot));
    data[c] = (draw() + 0.5) * kUnit;
  }
  return result.to(options);
}

}  // namespace scorejet::sampling
