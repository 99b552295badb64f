#include "reproduce/shared/fit.h"

#include <ATen/ATen.h>
#include <torch/utils.h>

#include <chrono>

#include "src/base/seed.h"

namespace scorejet::reproduce {

Fit fit(const distributions::Distribution& density, FitOptions options) {
  using Clock = std::chrono::steady_clock;
  const at::Tensor probe = density.sample(100000, base::make_generator(options.seed, "moments"));
  options.model.network.dim = density.dim();
  torch::manual_seed(base::derive_seed(options.seed, "weights", 0));
  Fit result;
  result.model = std::make_unique<models::ScoreModel>(options.model, probe.mean(0).to(at::kFloat),
                                                      probe.var(0).to(at::kFloat));
  const auto begin = Clock::now();
  training::fit(
      *result.model,
      [&](int64_t batch, at::Generator generator) {
        return density.sample(batch, generator).to(at::kFloat);
      },
      options);
  result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return result;
}

}  // namespace scorejet::reproduce
