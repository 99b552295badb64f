#include "scorejet/experiments/fit.h"

#include <ATen/ATen.h>
#include <torch/utils.h>

#include <chrono>
#include <cmath>

#include "scorejet/base/error.h"
#include "scorejet/base/seed.h"
#include "scorejet/training/optimiser.h"

namespace scorejet::experiments {

namespace {

// 0 where a parameter belongs to s1, 1 elsewhere.
at::Tensor mask_first(const training::FlatParameters& parameters) {
  at::Tensor mask = at::zeros_like(parameters.values());
  for (const char* prefix : {"s2", "s3"}) {
    for (const auto& range : parameters.ranges(prefix)) {
      mask.narrow(0, range.begin, range.end - range.begin).fill_(1);
    }
  }
  return mask;
}

}  // namespace

Fit fit(const distributions::Distribution& density, FitOptions options) {
  using Clock = std::chrono::steady_clock;
  const at::Tensor probe = density.sample(100000, base::make_generator(options.seed, "moments"));
  options.model.network.dim = density.dim();
  torch::manual_seed(base::derive_seed(options.seed, "weights", 0));
  Fit result;
  result.model = std::make_unique<models::ScoreModel>(options.model, probe.mean(0).to(at::kFloat),
                                                      probe.var(0).to(at::kFloat));
  training::FlatParameters parameters(result.model->network());
  training::AdamState adam = training::make_adam_state(parameters.values());
  const at::Tensor others = mask_first(parameters);

  const auto begin = Clock::now();
  for (int64_t step = 0; step < options.steps; ++step) {
    const auto index = static_cast<uint64_t>(step);
    at::Generator noise = base::make_generator(options.seed, "noise", index);
    training::NoisyBatch batch;
    batch.x = density.sample(options.batch, base::make_generator(options.seed, "train", index))
                  .to(at::kFloat);
    batch.z = at::randn(batch.x.sizes(), noise, batch.x.options());
    batch.sigma = at::full({options.batch}, options.sigma, batch.x.options());
    const training::StepLosses losses =
        training::accumulate_gradients(*result.model, options.loss, batch, parameters);
    if (!std::isfinite(losses.first_gradient + losses.second_gradient + losses.third_gradient)) {
      base::fail_runtime(
          "experiments::fit", "the gradient must be finite; got s1 {}, s2 {}, s3 {} at {}",
          losses.first_gradient, losses.second_gradient, losses.third_gradient, step);
    }
    const double progress = static_cast<double>(step) / static_cast<double>(options.steps);
    const double rate = training::scheduled_rate(options.learning_rate, step, 50, progress);
    if (options.first_steps > 0 && step >= options.first_steps) {
      parameters.gradients().mul_(others);  // without gradient and momentum Adam moves nothing
      adam.first_moment.mul_(others);
    }
    training::adam_step(adam, parameters.values(), parameters.gradients(), rate, options.ema);
  }
  result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  at::Tensor(parameters.values()).copy_(adam.average);
  return result;
}

}  // namespace scorejet::experiments
