// A first-order score that a run is given and does not learn: [s1] of the configuration.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "scorejet/dataset.h"
#include "scorejet/run_config.h"
#include "scorejet/torchscript_field.h"

namespace scorejet::training {

struct GivenFirst {
  std::shared_ptr<const score::TorchScriptField> field;  // null: s1 is learned
  std::string name;            // what it predicts and the MD5 of its file: "clean 5d41402a..."
  std::filesystem::path file;  // it was read from
};

// The s1 of a TorchScript file for samples of `sample_shape`.
// Errors: as score::TorchScriptField.
GivenFirst open_given_first(const std::filesystem::path& file, score::Prediction predicts,
                            const std::vector<int64_t>& sample_shape, at::Device device);

// The s1 that a run is to be trained on, tried on samples at both ends of the noise range; empty
// where s1.from is. `copy`, the run's own copy of the file, serves where the file itself is gone.
// Errors: as score::TorchScriptField's constructor and probe().
GivenFirst prepare_given_first(const RunConfig& config, const data::Dataset& train,
                               const std::filesystem::path& copy, at::Device device);

}  // namespace scorejet::training
