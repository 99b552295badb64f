// One joint training step's losses and gradients, robust by construction: the gradient of each
// order is bounded on its own before it reaches shared weights.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "scorejet/models/score_model.h"
#include "scorejet/training/flat_parameters.h"
#include "scorejet/training/loss_options.h"
#include "scorejet/training/noisy_batch.h"
#include "scorejet/training/optimiser.h"

namespace scorejet::training {

struct StepLosses {
  // Per coordinate, in units of what the preconditioner leaves to explain: order n is
  // loss/(D · residual_scale^n), order 1 weighed by σ where that is asked. Orders 2 and 3 are up to
  // a constant and NaN when the model has no such order; with variance reduction order 1 is up to a
  // constant too.
  double first = 0, second = 0, third = 0;
  // Norms before clipping; NaN for an s1 that is given, 0 for an order that the model has not.
  double first_gradient = 0, second_gradient = 0, third_gradient = 0;
};

// The weighted losses without gradients: for validation.
StepLosses evaluate_losses(const models::ScoreModel& model, const LossOptions& options,
                           const NoisyBatch& batch);

// Losses, and their gradient added into `parameters.gradients()` (zeroed first).
// Order 2 is quartic in the residual and order 3 sextic, so their gradients have heavy tails; three
// bounds keep them from harming the orders below: (1) s1 inside order 2, and s1 and s2 inside order
// 3, are held constant; (2) what reaches a shared trunk is scaled down to at most trunk_share times
// the gradient of the orders below there; (3) the parameters of the s2 head (and its own trunk),
// those of s3, and all others are clipped to clip_norm as groups. With a trunk each the gradients
// of orders 1 and 2 are the same with a third order and without. A given s1 is evaluated once, and
// not differentiated (but for the sketch form); the trunk is then one of order 2's own parameters.
StepLosses accumulate_gradients(const models::ScoreModel& model, const LossOptions& options,
                                const NoisyBatch& batch, const FlatParameters& parameters);
// The same with bound (3) left to the optimiser: `clips` is set to what it must scale. Returns
// StepLosses' entries in their order, [6] in float64 on the model's device: nothing is read from
// there, so that on an accelerator the step goes on while they are computed, but for the error
// flags of the sketch's small eigendecompositions. (The likelihood's checks read on the CPU alone.)
at::Tensor compute_gradients(const models::ScoreModel& model, const LossOptions& options,
                             const NoisyBatch& batch, const FlatParameters& parameters,
                             std::vector<GradientScale>& clips);

// Waits for them. values [6], as compute_gradients returns them.
StepLosses read_losses(const at::Tensor& values);

}  // namespace scorejet::training
