// The one loop that runs chains of any kernel on any target: what is carried from step to step, and
// what comes of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "src/sampling/adaptation.h"
#include "src/sampling/kernel.h"

namespace scorejet::sampling {

struct ChainOptions {
  int64_t num_steps = 100;  // after the warm-up
  int64_t warmup = 0;       // steps before, not kept, in which an adjusted kernel adapts its ε
  int64_t thin = 1;         // every thin-th position is kept, besides the first
  uint64_t seed = 0;        // chain c draws by (seed, c) alone, however many run beside it
};

// What is carried from step to step. A run goes on from it bit for bit (chain_file.h).
struct Chains {
  ChainState state;
  int64_t step = 0;              // done, warm-up included
  DualAveraging adaptation;      // the step size of each chain
  at::Tensor reach;              // [C]: a chain with a larger |x_i| is a runaway
  at::Tensor stopped_at;         // [C] int64: the step at which a chain was stopped, or -1
  at::Tensor stop_reason;        // [C] int64: Fault
  at::Tensor acceptance_sum;     // [C] float64, after the warm-up
  int64_t num_bounded = 0;       // chain-steps at which Ozaki's bound on growth was in force
  int64_t max_krylov_steps = 0;  // largest Krylov space used
  int64_t num_evaluations = 0;   // score evaluations, over all chains
};

struct ChainResult {
  at::Tensor positions;  // [C, 1 + num_steps / thin, D]; [:, 0] is where the warm-up ended
  at::Tensor steps;      // the step number of each kept position (the warm-up not counted), int64
  Chains chains;         // at the end

  at::Tensor acceptance() const;  // [C], mean after the warm-up; undefined when unadjusted
};

// At x0 [C, D], before the first step. A runaway is a chain that comes 10⁴ times further from zero
// than 1 + max |x0_i| of its own start. `seed` is that of the steps. Errors: as init() and
// check_options(); std::domain_error for scores at x0 that are not finite (naming the chain).
Chains start_chains(const Target& target, const Kernel& kernel, const at::Tensor& x0,
                    const KernelOptions& kernel_options, uint64_t seed = 0);

// One step of every chain that has not been stopped. A chain that meets a fault stays where it is
// from then on and is named in stopped_at and stop_reason; the others go on.
void advance(const Target& target, const Kernel& kernel, const KernelOptions& kernel_options,
             const ChainOptions& options, Chains& chains);

// Errors: std::invalid_argument for counts out of range.
void check_counts(const ChainOptions& options);

// Whether the position after chains.step steps is one that is kept.
bool is_kept(const ChainOptions& options, int64_t step);

// Runs from x0 to the end, all that is kept in memory. `observe` (may be empty) is called after
// each step. Errors: as start_chains(); std::invalid_argument for counts out of range.
ChainResult run_chains(const Target& target, const Kernel& kernel, const at::Tensor& x0,
                       const KernelOptions& kernel_options, const ChainOptions& options,
                       const std::function<void(const Chains&)>& observe = {});

// One line for people: which chains were stopped, where and why; "" when none was.
std::string describe_stopped(const Chains& chains);

}  // namespace scorejet::sampling
