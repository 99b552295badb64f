// Files of chains as `scorejet diagnose` takes them: what arrays they may hold, and what is
// checked. Add an array that a sampler writes here.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace scorejet::apps {

struct ChainFile {
  at::Tensor positions;                    // [C, N, D] float32 or float64: what is left to judge
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

}  // namespace scorejet::apps
