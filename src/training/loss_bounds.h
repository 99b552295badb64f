// What a loss can be while training goes well, and the error when it is not. Add an order: a bound
// in loss_bounds() and what to change in advice().
#pragma once

#include <optional>
#include <string>

#include "scorejet/score_model.h"
#include "src/training/step.h"

namespace scorejet::training {

// Largest absolute value of each order's mean loss, in units of StepLosses.
struct LossBounds {
  double first = 0, second = 0, third = 0;
};

// Bounds from what the losses are, ten times as wide, for samples come by chance, and no narrower
// than a hundred times `untrained`, the losses of the untrained network.
// Math: a score that denoises no worse than leaving x̃ as it is has E‖r‖² <= D, r = z + σ s1; a loss
// ½‖s_n + Y/σⁿ‖² − ½‖Y/σⁿ‖² is least at −½ E‖E[Y | x̃]‖²/σ²ⁿ, whose root is at most that of r r^T −
// I (order 2: D + √D) or of r⊗r⊗r − 3 sym(I⊗r) (order 3: D^1.5 + 3 D). Divided by D and the n-th
// power of the preconditioner's residual e², with q = 1/(σ² e²):
//   order 1: 1 + q;  order 2: ½ q² (1 + √D)²;  order 3: ½ q³ (D + 3 √D)².
// q is the larger of those at the two ends of the range of σ.
LossBounds loss_bounds(const models::ScoreModel& model, double sigma, double sigma_max,
                       const StepLosses& untrained);

// The same for rows held out of a set that is learned by heart: there x may be taken for another
// row, so that E‖r‖² is up to D (1 + 4 V/σ²) in place of D, V the data's variance.
LossBounds held_out_bounds(const models::ScoreModel& model, double sigma, const LossBounds& bounds);

// A loss outside its bound, and what to change.
struct Violation {
  int order = 0;
  double value = 0, bound = 0;
  std::string advice;
};

// Of the lowest order whose loss is outside; none for an s1 that is given and for orders that the
// model has not.
std::optional<Violation> find_violation(const LossBounds& bounds, const StepLosses& losses,
                                        const models::ScoreModel& model,
                                        const objectives::LossOptions& options);

}  // namespace scorejet::training
