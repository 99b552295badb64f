// One joint training step's losses and gradients, robust by construction: the gradient of each
// order is bounded on its own before it reaches shared weights.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "scorejet/models/score_model.h"
#include "scorejet/objectives/denoising.h"
#include "scorejet/training/flat_parameters.h"
#include "scorejet/training/noisy_batch.h"
#include "scorejet/training/optimiser.h"

namespace scorejet::training {

struct LossOptions {
  objectives::Form form = objectives::Form::kCentred;
  bool variance_reduction = true;  // fades out where σ is not small, sample by sample
  // Order 1 at σ is weighed by (sigma_reference/σ)^sigma_power. What the preconditioner leaves to
  // explain can be explained more fully the less noise there is, so that unweighted losses and
  // their gradients are mostly those of the largest σ. The reference is the largest σ that is
  // trained on: no setting of its own.
  double sigma_power = 0, sigma_reference = 1;
  double gamma = 0.1;
  // Order 2 at x̃ is weighed by (tr Cov(x̃) / its size before anything is known)^-variance_power,
  // with the model's own covariance. Squared losses of a covariance are mostly those of the few
  // samples of large variance; the minimiser is the same. Without variance reduction only.
  double variance_power = 0;
  double likelihood = 0;  // weight of likelihood_loss within order 2; needs a psd model
  double leading = 0;     // weight of leading_loss within order 2; needs a low rank
  double gamma3 = 0.01;
  double clip_norm = 1.0;
  double trunk_share = 1.0;

  base::Settings settings() {
    using objectives::Form;
    return {
        {"loss.form",
         base::Choice(form, {Form::kCentred, Form::kProduct, Form::kSketch}, objectives::form_name),
         "what s2 is regressed on"},
        {"loss.variance_reduction", &variance_reduction,
         "antithetic pair and control variate: three evaluations a sample, needed at small sigma"},
        {"loss.sigma_power", &sigma_power,
         "the first-order loss at a sigma is weighed by (noise.sigma_max/sigma) to this; 0: all "
         "alike",
         base::finite()},
        {"loss.gamma", &gamma, "weight of the second-order loss beside the first",
         base::positive()},
        {"loss.variance_power", &variance_power,
         "the second-order loss at a noisy sample is weighed by its posterior variance to minus "
         "this; 0: all alike, so that it is mostly that of a few samples",
         base::finite_at_least(0)},
        {"loss.likelihood", &likelihood,
         "weight of the residual's Gaussian likelihood in the second-order loss (low_rank: moves "
         "the diagonal alone)",
         base::finite_at_least(0)},
        {"loss.leading", &leading,
         "weight of the leading directions of s1's Jacobian in the second-order loss, which "
         "low_rank alone has",
         base::finite_at_least(0)},
        {"loss.gamma3", &gamma3, "weight of the third-order loss beside the first",
         base::positive()},
        {"train.clip_norm", &clip_norm, "largest gradient norm of each order's parameters",
         base::positive_or_infinite()},
        {"train.trunk_share", &trunk_share,
         "largest norm of a higher order's gradient at a shared trunk, relative to those below",
         base::at_least(0)},
    };
  }
};

struct StepLosses {
  // Per coordinate, in units of what the preconditioner leaves to explain: order n is
  // loss/(D · residual_scale^n), order 1 weighed by σ where that is asked. Orders 2 and 3 are up to
  // a constant and NaN when the model has no such order; with variance reduction order 1 is up to a
  // constant too.
  double first = 0, second = 0, third = 0;
  // Norms before clipping; NaN for an s1 that is given, 0 for an order that the model has not.
  double first_gradient = 0, second_gradient = 0, third_gradient = 0;
};

// Whether variance reduction does anything for samples with at least so much noise: not where its
// control variates have faded out (objectives::variate_coefficient). Without clean points it always
// does, if it is on. Waits for the device.
bool reduces_variance(const models::ScoreModel& model, const LossOptions& options, double sigma);

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
