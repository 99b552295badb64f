// The data sets on which training with every default is checked. Add one: a line in sets.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

namespace scorejet::defaults {

// Samples to train on and others of the same law to judge by: [N, D], or images [N, C, H, W].
struct SampleSet {
  std::string name;
  at::Tensor train, test;
};

// Twenty names, those of the sets that say most first.
const std::vector<std::string>& set_names();

// The samples, a function of the name alone. `data_dir` holds what `scorejet data fetch` brings.
// Errors: std::runtime_error for a public set that is not there; std::invalid_argument for an
// unknown name.
SampleSet make_set(const std::string& name, const std::filesystem::path& data_dir);

}  // namespace scorejet::defaults
