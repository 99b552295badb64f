// Chains of any kernel on any target: the one loop that runs them and what is carried from step to
// step; long runs on disk; generation down a ladder of noise levels. Change the loop in chains.cc,
// step-size adaptation in adaptation.cc, files in chain_file.cc and read_chains.cc, the ladder in
// annealed.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "scorejet/kernel.h"

namespace scorejet::sampling {

// Step sizes that find themselves: dual averaging towards an acceptance rate, a chain on its own.
// Math: Nesterov's dual averaging as in Hoffman & Gelman (2014), section 3.2, on log ε, with
// γ = 0.05, t₀ = 10, κ = 0.75 and μ = log 10 ε₀:
//   H̄ ← (1 − 1/(t + t₀)) H̄ + (δ − acceptance)/(t + t₀),  log ε = μ − √t H̄/γ,
//   log ε̄ ← t^-κ log ε + (1 − t^-κ) log ε̄.
// Every tensor is [C], float64: chains adapt apart, so that none depends on its neighbours.
struct DualAveraging {
  at::Tensor first_step;    // ε₀
  at::Tensor step_size;     // ε, to be used for the next step
  at::Tensor log_averaged;  // log ε̄
  at::Tensor statistic;     // H̄
  int64_t count = 0;        // t

  static DualAveraging start(const at::Tensor& step_size);
  // After a step with `acceptance` [C]; `target` is δ.
  void update(const at::Tensor& acceptance, double target);
  // Ends adaptation: ε = ε̄ from now on.
  void finish();
};

struct ChainOptions {
  int64_t num_steps = 100;  // after the warm-up
  int64_t warmup = 0;       // steps before, not kept, in which an adjusted kernel adapts its ε
  int64_t thin = 1;         // every thin-th position is kept, besides the first
  uint64_t seed = 0;        // chain c draws by (seed, c) alone, however many run beside it
  std::function<bool()> stop =
      nullptr;  // true, after a step or an exception in one: run_chains() ends with what it has
};

// What is carried from step to step. A run goes on from it bit for bit (stream_chains).
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

// ---- long runs on disk: kept positions stream into segments, and a run that was killed goes on
// from its last one

struct StreamOptions {
  std::filesystem::path file;  // chains.npz; the segments lie in FILE.partial/ until it is whole
  std::string description;     // all that the course depends on; a resumed run must have the same
  // What an earlier release wrote for the same course; a run that it left is gone on with.
  std::string older_description = {};
  bool resume = false;                   // go on from FILE.partial/ where there is one
  double seconds_between = 10;           // wall time between two segments
  std::function<bool()> stop = nullptr;  // true: ends after the step, to be gone on with
};

struct StreamResult {
  ChainResult chains;
  double seconds = 0;         // of sampling, interruptions not counted
  int64_t resumed_from = -1;  // the step that was gone on from, or -1
  bool finished = true;       // false: stopped before its end; `chains` has no positions
};

// run_chains() to a file. A segment is written whole or not at all and holds the chains' state, so
// that a run killed at any time and resumed gives what the unbroken one gives, bit for bit on the
// same machine. FILE appears when all is done; FILE.partial/ is then removed. `observe` as in
// run_chains(). Errors: as run_chains(); std::runtime_error naming the file: FILE.partial/ is there
// and `resume` is false, or holds another run (its description is shown beside the new one), or
// cannot be read or written.
StreamResult stream_chains(const Target& target, const Kernel& kernel, const at::Tensor& x0,
                           const KernelOptions& kernel_options, const ChainOptions& options,
                           const StreamOptions& stream,
                           const std::function<void(const Chains&)>& observe = {});

// positions [C, K, D], steps [K], diverged_at [C] (step or -1), stop_reason [C] (Fault),
// step_size [C], evaluations [1], seconds [1] and, for adjusted kernels, acceptance [C].
void write_chains(const std::filesystem::path& file, const ChainResult& result, double seconds);

// What is left to judge of such a file, or of anyone's.
struct ChainFile {
  at::Tensor positions;                    // [C, N, D] float32 or float64
  std::vector<int64_t> chains;             // [C]: their numbers in the file
  std::vector<int64_t> diverged;           // the numbers of those left out
  std::vector<int64_t> steps;              // [N]: the step of each kept position
  int64_t thin = 1;                        // steps between two kept positions
  int64_t num_dropped = 0;                 // positions dropped at the front of each chain
  std::optional<at::Tensor> acceptance;    // [C] float64
  std::optional<int64_t> num_evaluations;  // of the score, all chains, dropped positions too
  std::optional<double> seconds;           // likewise
};

// Reads an NPZ with `positions` [C, K, D] or [K, D] and, as far as they are there, `steps` [K],
// `diverged_at` [C], `acceptance` [C], `evaluations` [1], `seconds` [1]; or an NPZ or NPY with one
// array, which is taken as positions. Leaves out diverged chains and drops the first `burn_in`
// (a fraction) of the positions, the start at least.
// Errors: std::runtime_error naming the file, what was expected and what was found;
// std::invalid_argument for a burn_in outside [0, 1).
ChainFile read_chains(const std::filesystem::path& path, double burn_in);

// ---- generation from noise: chains over a ladder of noise levels, then Tweedie's mean

struct AnnealOptions {
  std::vector<double> sigmas;    // noise levels, decreasing
  int64_t steps_per_level = 20;  // >= 1
  double relative_step = 0.2;    // ε/σ² at every level, > 0
  bool denoise = true;           // end with the posterior mean x + σ² s1 at the last level
  uint64_t seed = 0;
  std::function<bool()> stop = nullptr;  // true: ends after the step
};

struct AnnealResult {
  at::Tensor samples;  // [C, D]; undefined where it was stopped before its end
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
