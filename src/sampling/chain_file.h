// Long runs of chains on disk: kept positions stream into segments, and a run that was killed goes
// on from its last one. What chains.npz holds is written down here (write_chains), and is read by
// read_chains().
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "src/sampling/chains.h"

namespace scorejet::sampling {

struct StreamOptions {
  std::filesystem::path file;  // chains.npz; the segments lie in FILE.partial/ until it is whole
  std::string description;     // all that the course depends on; a resumed run must have the same
  // What an earlier release wrote for the same course; a run that it left is gone on with.
  std::string older_description = {};
  bool resume = false;          // go on from FILE.partial/ where there is one
  double seconds_between = 10;  // wall time between two segments
};

struct StreamResult {
  ChainResult chains;
  double seconds = 0;         // of sampling, interruptions not counted
  int64_t resumed_from = -1;  // the step that was gone on from, or -1
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

}  // namespace scorejet::sampling
