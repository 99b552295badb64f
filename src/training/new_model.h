// The model that a run starts from.
#pragma once

#include <memory>

#include "scorejet/dataset.h"
#include "scorejet/run_config.h"
#include "scorejet/score_model.h"
#include "src/training/given_first.h"

namespace scorejet::training {

// A freshly initialised model for a data set, as the configuration describes it, on top of an s1
// where one is given. Initialisation depends on train.seed only.
std::unique_ptr<models::ScoreModel> make_model(const RunConfig& config, const data::Dataset& train,
                                               const GivenFirst& given = {});

}  // namespace scorejet::training
