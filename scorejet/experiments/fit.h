// One score model trained in memory on fresh samples of a known density: what an experiment repeats
// for every method.
#pragma once

#include <memory>

#include "scorejet/distributions/distribution.h"
#include "scorejet/models/score_model.h"
#include "scorejet/training/joint_step.h"

namespace scorejet::experiments {

struct FitOptions {
  models::ScoreModelOptions model;  // network.dim is filled in; every order has a trunk of its own
  training::LossOptions loss;       // no clipping: it was found to slow every order down
  double sigma = 0.1;
  int64_t steps = 1000;
  int64_t batch = 256;
  double learning_rate = 4e-3;
  double ema = 0.995;
  int64_t first_steps = 0;  // s1 is left as it is after so many steps; 0: trained to the end
  uint64_t seed = 0;

  FitOptions() {
    loss.gamma = 1;
    loss.clip_norm = 1e30;
    model.scale = models::OutputScale::kData;
    model.network.depth = 1;
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

}  // namespace scorejet::experiments
