// Generation from noise: chains over a ladder of noise levels, then Tweedie's mean.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "src/sampling/chains.h"

namespace scorejet::sampling {

struct AnnealOptions {
  std::vector<double> sigmas;    // noise levels, decreasing
  int64_t steps_per_level = 20;  // >= 1
  double relative_step = 0.2;    // ε/σ² at every level, > 0
  bool denoise = true;           // end with the posterior mean x + σ² s1 at the last level
  uint64_t seed = 0;
};

struct AnnealResult {
  at::Tensor samples;  // [C, D]
  Chains chains;       // of the last level
};

// `count` levels from `first` down to `last`, in geometric progression.
// Errors: std::domain_error unless first > last > 0; std::invalid_argument for count < 2.
std::vector<double> geometric_ladder(double first, double last, int64_t count);

// Annealed chains (Song & Ermon 2019) by any kernel: at each σ of the ladder steps_per_level steps
// of size ε = relative_step σ², from where the level before ended; x0 [C, D] is drawn by the caller
// (e.g. N(mean, variance + σ₀²)). kernel_options.step_size and target.sigma are not used. A chain
// that is stopped at one level stays where it is. `observe` (may be empty) is called after each
// step. Errors: as start_chains(); std::invalid_argument for an empty or increasing ladder.
AnnealResult run_annealed(Target target, const Kernel& kernel, const at::Tensor& x0,
                          KernelOptions kernel_options, const AnnealOptions& options,
                          const std::function<void(const Chains&)>& observe = {});

}  // namespace scorejet::sampling
