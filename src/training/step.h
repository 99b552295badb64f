// One joint training step: the losses of every order and their gradient, bounded so that no order
// harms those below. The terms are loss_terms.h, the bounds gradient_bounds.h; the order in which
// they meet is here.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "scorejet/loss_options.h"
#include "scorejet/score_model.h"
#include "src/training/flat_parameters.h"
#include "src/training/noisy_batch.h"
#include "src/training/optimiser.h"

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
StepLosses evaluate_losses(const models::ScoreModel& model, const objectives::LossOptions& options,
                           const NoisyBatch& batch);

// Called with the whole gradient [P] before it is clipped, to change it in place: copies of a model
// on several machines average theirs here, so that norms are those of the average.
using ReduceGradients = std::function<void(const at::Tensor& gradients)>;

// Losses, and their gradient into `parameters.gradients()` (zeroed first). Order 2 is quartic in
// the residual and order 3 sextic, so their gradients have heavy tails; three bounds keep them from
// harming the orders below:
//   1. s1 inside order 2, and s1 and s2 inside order 3, are held constant.
//   2. What reaches a shared trunk is scaled down to at most trunk_share times the gradient of the
//      orders below there. With a trunk each nothing reaches it: the gradients of orders 1 and 2
//      are then the same with a third order and without.
//   3. Three groups of parameters are clipped to clip_norm, each by itself: those of the s2 head
//      (and its own trunk), those of s3, and all others. This is left to the optimiser: `clips` is
//      set to what it must scale.
// A given s1 is not differentiated (but for the sketch form); the trunk is then one of order 2's
// own parameters. Returns StepLosses' entries in their order, [6] in float64 on the model's device:
// nothing is read from there, so that on an accelerator the step goes on while they are computed,
// but for the error flags of the sketch's small eigendecompositions. (The likelihood's checks read
// on the CPU alone.)
at::Tensor compute_gradients(const models::ScoreModel& model,
                             const objectives::LossOptions& options, const NoisyBatch& batch,
                             const FlatParameters& parameters, std::vector<GradientScale>& clips,
                             const ReduceGradients& reduce = {});

// Waits for them. values [6], as compute_gradients returns them.
StepLosses read_losses(const at::Tensor& values);

}  // namespace scorejet::training
