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

// A step of Adam after which the current weights outside `ranges` are what they were.
void hold_all_but(const std::vector<training::FlatParameters::Range>& ranges,
                  const training::FlatParameters& parameters, training::AdamState& adam,
                  double rate, double ema) {
  const at::Tensor held = parameters.values().clone();
  training::adam_step(adam, parameters.values(), parameters.gradients(), rate, ema);
  for (const auto& range : ranges) {
    const int64_t size = range.end - range.begin;
    held.narrow(0, range.begin, size).copy_(parameters.values().narrow(0, range.begin, size));
  }
  at::Tensor(parameters.values()).copy_(held);
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
  const std::vector<training::FlatParameters::Range> second = parameters.ranges("s2");

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
      hold_all_but(second, parameters, adam, rate, options.ema);
    } else {
      training::adam_step(adam, parameters.values(), parameters.gradients(), rate, options.ema);
    }
  }
  result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  at::Tensor(parameters.values()).copy_(adam.average);
  return result;
}

}  // namespace scorejet::experiments
