// The one loop that runs chains of any kernel on any score field.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "scorejet/sampling/kernel.h"
#include "scorejet/score/score_field.h"

namespace scorejet::sampling {

struct ChainOptions {
  int64_t num_steps = 100;
  int64_t thin = 1;   // every thin-th position is kept, besides the first
  uint64_t seed = 0;  // chain c draws by (seed, c) alone, however many run beside it
};

struct ChainResult {
  at::Tensor positions;          // [C, 1 + num_steps / thin, D]; [:, 0] is the start
  at::Tensor steps;              // the step number of each kept position, int64
  at::Tensor diverged_at;        // [C] int64: step at which a position was not finite, or -1
  int64_t num_bounded = 0;       // chain-steps at which Ozaki's bound on growth was in force
  int64_t max_krylov_steps = 0;  // largest Krylov space used
  int64_t num_evaluations = 0;   // score evaluations, over all chains
};

// Runs C chains from x0 [C, D]. A chain whose next position is not finite stays at its last finite
// one and is reported in diverged_at. `progress` (may be empty) is called after each step. Errors:
// std::invalid_argument for shapes, or a kernel that needs a higher order than the field has;
// std::domain_error for a step size that is not positive or NaN in x0.
ChainResult run_chains(const score::ScoreField& field, const Kernel& kernel, const at::Tensor& x0,
                       const KernelOptions& kernel_options, const ChainOptions& options,
                       const std::function<void(int64_t)>& progress = {});

}  // namespace scorejet::sampling
