#include "src/training/draw.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "src/base/seed.h"

namespace scorejet::training {
namespace {

// How far along the range of ln σ each sample lies, in [0, 1], [size]: one in each of `size`
// strata, in random order (quieter than independent draws; after Kingma et al. 2021), and at the
// ends, which are learned from one side only, twice as densely as if uniform.
at::Tensor draw_shares(int64_t size, at::Generator& generator, const at::TensorOptions& options) {
  const at::Tensor strata = at::randperm(size, generator, at::TensorOptions(at::kLong));
  const at::Tensor u = (strata + at::rand({size}, generator, options)) / static_cast<double>(size);
  return 0.5 * (u + at::sin(std::numbers::pi / 2 * u).square());
}

}  // namespace

NoisyBatch draw_batch(const RunConfig& config, const data::Dataset& train, int64_t step,
                      int64_t size, const char* stream) {
  at::Generator generator = base::make_generator(static_cast<uint64_t>(config.train.seed), stream,
                                                 static_cast<uint64_t>(step));
  const at::Tensor rows =
      at::randint(train.size(), {size}, generator, at::TensorOptions(at::kLong));
  NoisyBatch batch;
  batch.x = train.batch(rows);
  batch.z = at::randn(batch.x.sizes(), generator, batch.x.options());
  batch.sigma = at::full({size}, config.noise.sigma, batch.x.options());
  if (config.noise.sigma_max > 0) {
    const double span = std::log(config.noise.sigma_max / config.noise.sigma);
    const at::Tensor share = draw_shares(size, generator, batch.x.options());
    batch.sigma = batch.sigma * (span * share).exp();
  }
  return batch;
}

NoisyBatch to_device(const NoisyBatch& batch, at::Device device) {
  const auto move = [&](const at::Tensor& x) {
    return device.is_cuda() ? x.pin_memory().to(device, /*non_blocking=*/true) : x.to(device);
  };
  return {move(batch.x), move(batch.z), move(batch.sigma)};
}

}  // namespace scorejet::training
