// One score model trained in memory on fresh samples of a known density: what an experiment repeats
// for every method.
#pragma once

#include <memory>

#include "scorejet/distribution.h"
#include "scorejet/score_model.h"
#include "src/training/fit.h"

namespace scorejet::reproduce {

struct FitOptions : training::FitOptions {
  models::ScoreModelOptions model;  // network.dim is filled in; every order has a trunk of its own

  FitOptions() {
    model.scale = models::OutputScale::kData;
    model.network.mlp.depth = 1;
    model.network.share_trunk = false;
  }
};

struct Fit {
  std::unique_ptr<models::ScoreModel> model;  // with the averaged weights
  double seconds = 0;                         // of training
};

// Samples, noise and initial weights depend on the seed and the step alone: with trunks of their
// own, two methods that share a seed share the whole trajectory of s1.
// Errors: std::runtime_error when a loss becomes NaN or infinite, naming the step.
Fit fit(const distributions::Distribution& density, FitOptions options);

}  // namespace scorejet::reproduce
