#include "scorejet/chains.h"

#include <ATen/ATen.h>

#include <cmath>

namespace scorejet::sampling {

DualAveraging DualAveraging::start(const at::Tensor& step_size) {
  DualAveraging result;
  result.first_step = step_size.to(at::kDouble);
  result.step_size = result.first_step.clone();
  result.log_averaged = at::zeros_like(result.first_step);
  result.statistic = at::zeros_like(result.first_step);
  return result;
}

void DualAveraging::update(const at::Tensor& acceptance, double target) {
  constexpr double kGamma = 0.05, kDelay = 10, kKappa = 0.75;
  ++count;
  const auto t = static_cast<double>(count);
  const double weight = 1 / (t + kDelay);
  statistic = (1 - weight) * statistic + weight * (target - acceptance.to(at::kDouble));
  const at::Tensor log_step = (10 * first_step).log() - std::sqrt(t) / kGamma * statistic;
  const double recent = std::pow(t, -kKappa);
  log_averaged = recent * log_step + (1 - recent) * log_averaged;
  step_size = log_step.exp();
}

void DualAveraging::finish() {
  if (count > 0) step_size = log_averaged.exp();
}

}  // namespace scorejet::sampling
