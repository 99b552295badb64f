// Defaults that do not fit the data at hand give way to it, and say so. What a file or --set named
// stays as it is, and is refused where it does not fit. A default of a new setting that data can
// contradict: a line in settle_defaults().
#pragma once

#include <string>
#include <vector>

#include "scorejet/dataset.h"
#include "scorejet/run_config.h"

namespace scorejet::training {

// The data sets of a run. Errors: as data::load_splits.
data::DatasetSplits load_run_data(const RunConfig& config);

// Puts what is in force for these data into `config`; returns a line for each setting that changed.
// data.validation becomes the rows that load_run_data() held out, model.rank at most the number of
// columns, and model.levels and model.patch what divides the size of the pictures.
std::vector<std::string> settle_defaults(RunConfig& config, const data::DatasetSplits& splits);

}  // namespace scorejet::training
