#include "scorejet/chains.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "src/base/check.h"

namespace scorejet::sampling {

std::vector<double> geometric_ladder(double first, double last, int64_t count) {
  constexpr const char* kWhere = "sampling::geometric_ladder";
  if (!(first > last && last > 0 && std::isfinite(first))) {
    base::fail_domain(kWhere, "levels must decrease to a sigma > 0; got {} to {}", first, last);
  }
  if (count < 2) base::fail_argument(kWhere, "count must be at least 2; got {}", count);
  std::vector<double> sigmas;
  for (int64_t i = 0; i < count; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(count - 1);
    sigmas.push_back(first * std::pow(last / first, share));
  }
  sigmas.back() = last;
  return sigmas;
}

AnnealResult run_annealed(Target target, const Kernel& kernel, const at::Tensor& x0,
                          KernelOptions kernel_options, const AnnealOptions& options,
                          const std::function<void(const Chains&)>& observe) {
  constexpr const char* kWhere = "sampling::run_annealed";
  const std::vector<double>& sigmas = options.sigmas;
  const auto rises = [](double a, double b) { return !(a > b); };
  if (sigmas.empty() || std::adjacent_find(sigmas.begin(), sigmas.end(), rises) != sigmas.end()) {
    base::fail_argument(kWhere, "sigmas must be a decreasing list; got [{}]",
                        fmt::join(sigmas, ", "));
  }
  if (options.steps_per_level < 1) {
    base::fail_argument(kWhere, "steps_per_level must be at least 1; got {}",
                        options.steps_per_level);
  }
  base::check_positive(kWhere, "relative_step", options.relative_step);
  AnnealResult result;
  Chains& chains = result.chains;
  at::Tensor x = x0;
  const int64_t end = std::ssize(sigmas) * options.steps_per_level;
  for (const double sigma : sigmas) {
    target.sigma = sigma;
    kernel_options.step_size = options.relative_step * sigma * sigma;
    Chains level = start_chains(target, kernel, x, kernel_options, options.seed);
    if (chains.step == 0) {
      chains = std::move(level);
    } else {  // one course over all levels
      level.state.carry = std::move(chains.state.carry);
      chains.state = std::move(level.state);
      chains.adaptation = std::move(level.adaptation);
      chains.num_evaluations += level.num_evaluations;
    }
    for (int64_t t = 0; t < options.steps_per_level; ++t) {
      advance(target, kernel, kernel_options, {.seed = options.seed}, chains);
      if (observe) observe(chains);
      if (chains.step < end && options.stop && options.stop()) return result;
    }
    x = chains.state.x;
  }
  const double variance = sigmas.back() * sigmas.back();
  result.samples = options.denoise ? x + variance * chains.state.jet.s1 : x;
  return result;
}

}  // namespace scorejet::sampling
