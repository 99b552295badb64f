// Effective sample size per score evaluation (after the comparison in Meng et al. 2021, section 5):
// Langevin, MALA, HMC and Ozaki, on exact and on learned scores, each at its best step size by one
// tuning budget. Change what is compared in methods() and the tuning in ess_tasks.cc, what is
// written in ess.cc.
#pragma once

#include "reproduce/reproduce.h"
#include "reproduce/shared/workers.h"

namespace scorejet::reproduce {

// One kernel, or the kernels that share one trained model, on one problem with one seed. The result
// is a list of rows: problem, scores (exact, or what was learned), kernel, and at the best step
// size step_size, leapfrog_steps, ess_per_1000 (the least bulk ESS of any principal coordinate, per
// 1,000 score evaluations), tail_ess_per_1000, ess_per_second, bias (energy distance to exact
// draws), tolerated_bias, rhat (largest) and acceptance (null when unadjusted). ess_per_1000 is
// null where no step size had a bias within the tolerance, or the training diverged.
std::vector<Task> ess_tasks(const ReproduceOptions& options);

}  // namespace scorejet::reproduce
