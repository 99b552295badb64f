// Training of a score model in memory at one noise level, on whatever samples the caller draws: the
// loop that experiments and causal orders share. A run with a folder, checkpoints and resume is
// scorejet/run.h.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "scorejet/score_model.h"
#include "src/training/step.h"

namespace scorejet::training {

struct FitOptions {
  objectives::LossOptions loss;  // no clipping: it was found to slow every order down
  double sigma = 0.1;
  int64_t steps = 1000;
  int64_t batch = 256;
  double learning_rate = 4e-3;
  int64_t warmup = 50;  // steps until the learning rate is reached
  double ema = 0.995;
  int64_t first_steps = 0;  // s1 is left as it is after so many steps; 0: trained to the end
  uint64_t seed = 0;
  std::function<void()> on_step = nullptr;  // called after each step, if set

  FitOptions() {
    loss.gamma = 1;
    loss.clip_norm = 1e30;
  }
};

// `batch` clean samples [batch, D] in float32, a function of the generator's state alone.
using DrawSamples = std::function<at::Tensor(int64_t batch, at::Generator generator)>;

// Trains the model from the weights it has and leaves it with the averaged ones. Samples and noise
// depend on the seed and the step alone. Errors: std::runtime_error naming the step when a gradient
// becomes NaN or infinite, or a loss leaves its bounds (loss_bounds.h).
void fit(models::ScoreModel& model, const DrawSamples& draw, const FitOptions& options);

}  // namespace scorejet::training
