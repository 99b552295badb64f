// The experiments that `scorejet reproduce NAME` runs. Add one: a file in a folder here (copy
// templates/experiment.cc), which says its name and purpose, and its function in reproduce.cc.
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
  std::string name, purpose;  // one line, for help
  // Writes its tables into options.out, which is there; fewer repetitions and less work if `fast`.
  void (*run)(const ReproduceOptions& options);
  bool repeats = true;  // whether it takes `seeds`
};

const std::vector<Experiment>& experiments();

// Makes the folder and runs. Errors: std::invalid_argument for seeds < 1; std::runtime_error for
// files.
void reproduce(const Experiment& experiment, const ReproduceOptions& options);

// By name. Errors: as above, and std::invalid_argument for one that is not in experiments(), with
// the nearest.
void reproduce(const std::string& name, const ReproduceOptions& options);

}  // namespace scorejet::reproduce
