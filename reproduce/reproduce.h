// The experiments that `scorejet reproduce NAME` runs. Add one: a file in this folder and a line in
// experiments() (reproduce.cc).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace scorejet::reproduce {

struct ReproduceOptions {
  bool fast = false;  // minutes instead of hours, the same ordering
  int64_t seeds = 3;  // repetitions, >= 1
  std::filesystem::path out;
};

struct Experiment {
  std::string name, purpose;
  void (*run)(const ReproduceOptions& options);
};

const std::vector<Experiment>& experiments();

// Errors: std::invalid_argument for a name that is not in experiments() (and the nearest) or
// seeds < 1; std::runtime_error for files.
void reproduce(const std::string& name, const ReproduceOptions& options);

}  // namespace scorejet::reproduce
