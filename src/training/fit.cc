#include "src/training/fit.h"

#include <ATen/ATen.h>

#include <cmath>

#include "src/base/error.h"
#include "src/base/seed.h"
#include "src/nets/network.h"
#include "src/training/loss_bounds.h"
#include "src/training/optimiser.h"

namespace scorejet::training {
namespace {

constexpr int64_t kGuardedSteps = 20;  // whose mean loss must stay within its bound

// Holds the losses to bounds that the first, of the untrained network, set.
class LossGuard {
 public:
  LossGuard(const models::ScoreModel& model, const FitOptions& options)
      : model_(model), options_(options) {}

  void enter(int64_t step, const StepLosses& losses) {
    if (step == 0) bounds_ = loss_bounds(model_, options_.sigma, options_.sigma, losses);
    mean_.first += losses.first / kGuardedSteps;
    mean_.second += losses.second / kGuardedSteps;
    mean_.third += losses.third / kGuardedSteps;
    if ((step + 1) % kGuardedSteps != 0) return;
    if (const auto found = find_violation(bounds_, mean_, model_, options_.loss)) {
      base::fail_runtime("training::fit",
                         "the loss of s{} must stay within ±{:.3g}; got {:.3g}, the mean of {} "
                         "steps, at step {}",
                         found->order, found->bound, found->value, kGuardedSteps, step);
    }
    mean_ = {};
  }

 private:
  const models::ScoreModel& model_;
  const FitOptions& options_;
  LossBounds bounds_;
  StepLosses mean_;
};

// 0 where a parameter belongs to s1, 1 elsewhere.
at::Tensor mask_first(const FlatParameters& parameters, const nets::Network& network) {
  at::Tensor mask = at::zeros_like(parameters.values());
  for (const int order : {2, 3}) {
    for (const auto& range : parameters.ranges(network.own_parameters(order))) {
      mask.narrow(0, range.begin, range.end - range.begin).fill_(1);
    }
  }
  return mask;
}

}  // namespace

void fit(models::ScoreModel& model, const DrawSamples& draw, const FitOptions& options) {
  FlatParameters parameters(model.network());
  AdamState adam = make_adam_state(parameters.values());
  const at::Tensor others = mask_first(parameters, model.network());
  std::vector<GradientScale> clips;
  LossGuard guard(model, options);
  for (int64_t step = 0; step < options.steps; ++step) {
    const auto index = static_cast<uint64_t>(step);
    at::Generator noise = base::make_generator(options.seed, "noise", index);
    NoisyBatch batch;
    batch.x = draw(options.batch, base::make_generator(options.seed, "train", index));
    batch.z = at::randn(batch.x.sizes(), noise, batch.x.options());
    batch.sigma = at::full({options.batch}, options.sigma, batch.x.options());
    const StepLosses losses =
        read_losses(compute_gradients(model, options.loss, batch, parameters, clips));
    if (!std::isfinite(losses.first_gradient + losses.second_gradient + losses.third_gradient)) {
      base::fail_runtime(
          "training::fit", "the gradient must be finite; got s1 {}, s2 {}, s3 {} at {}",
          losses.first_gradient, losses.second_gradient, losses.third_gradient, step);
    }
    guard.enter(step, losses);
    const double progress = static_cast<double>(step) / static_cast<double>(options.steps);
    const double rate = scheduled_rate(options.learning_rate, step, options.warmup, progress);
    if (options.first_steps > 0 && step >= options.first_steps) {
      parameters.gradients().mul_(others);  // without gradient and momentum Adam moves nothing
      adam.first_moment.mul_(others);
    }
    adam_step(adam, parameters.values(), parameters.gradients(), rate, options.ema, clips);
    if (options.on_step) options.on_step();
  }
  at::Tensor(parameters.values()).copy_(adam.average);
}

}  // namespace scorejet::training
