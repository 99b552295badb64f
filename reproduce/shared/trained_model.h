// A run that an experiment needs: trained where it is missing, trained on where it was interrupted.
#pragma once

#include <cstdint>
#include <filesystem>

#include "scorejet/run_config.h"

namespace scorejet::reproduce {

// Leaves a run of `config` in `folder` and returns the number of its steps. One that is there with
// at least as many steps is taken as it is. Errors: std::runtime_error when `folder` holds a run of
// other data, noise levels, or structure of s2.
int64_t prepare_model(const training::RunConfig& config, const std::filesystem::path& folder);

}  // namespace scorejet::reproduce
