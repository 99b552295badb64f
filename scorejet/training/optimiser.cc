#include "scorejet/training/optimiser.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace scorejet::training {

AdamState make_adam_state(const at::Tensor& values) {
  return {at::zeros_like(values), at::zeros_like(values), values.detach().clone(), 0};
}

void adam_step(AdamState& state, const at::Tensor& values, const at::Tensor& gradients,
               double learning_rate, double ema) {
  constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
  at::NoGradGuard no_grad;
  const auto t = static_cast<double>(++state.step);
  state.first_moment.mul_(kBeta1).add_(gradients, 1 - kBeta1);
  state.second_moment.mul_(kBeta2).addcmul_(gradients, gradients, 1 - kBeta2);
  const at::Tensor denominator =
      (state.second_moment / (1 - std::pow(kBeta2, t))).sqrt_().add_(kEpsilon);
  at::Tensor(values).addcdiv_(state.first_moment, denominator,
                              -learning_rate / (1 - std::pow(kBeta1, t)));
  const double decay = std::min(ema, (1 + t) / (10 + t));
  state.average.lerp_(values, 1 - decay);
}

double scheduled_rate(double peak, int64_t step, int64_t warmup, double progress) {
  const double ramp =
      warmup > 0 ? std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(warmup)) : 1.0;
  const double p = std::clamp(progress, 0.0, 1.0);
  return peak * ramp * 0.5 * (1 + std::cos(std::numbers::pi * p));
}

}  // namespace scorejet::training
