#include <cmath>

#include "reproduce/mixing/mixing.h"

namespace scorejet::reproduce {
namespace {

// ε/σ² from 0.05, where Langevin's variance is 2.5 % too large. It diverges above 2.
std::vector<double> step_grid(int64_t count, double largest) {
  std::vector<double> grid;
  for (int64_t i = 0; i < count; ++i) {
    grid.push_back(
        0.05 * std::pow(largest / 0.05, static_cast<double>(i) / static_cast<double>(count - 1)));
  }
  return grid;
}

MixingPlan common(bool fast) {
  MixingPlan plan;
  plan.model.model.network.s2 = nets::Structure::kLowRank;
  plan.model.model.network.rank = 20;
  plan.model.loss.variance_reduction = false;
  plan.model.train.learning_rate = 2e-3;
  plan.kernels = {"langevin", "ozaki-diagonal", "ozaki"};
  plan.relative_steps = step_grid(fast ? 6 : 11, 8);
  if (fast) plan.num_steps = 100;
  if (fast) plan.long_steps = 300;
  return plan;
}

}  // namespace

MixingPlan mnist_plan(bool fast) {
  MixingPlan plan = common(fast);
  plan.model.data.name = "mnist";
  plan.model.noise.sigma = 0.5;
  plan.model.train.steps = fast ? 2500 : 20000;
  plan.model.train.batch = 32;
  plan.sigmas = {0.5};
  if (fast) plan.judge_steps = 400;
  return plan;
}

MixingPlan cifar10_plan(bool fast) {
  MixingPlan plan = common(fast);
  plan.model.data.name = "cifar10";
  plan.model.noise.sigma = 0.25;
  plan.model.noise.sigma_max = 0.5;
  plan.model.model.network.unet.levels = 3;
  plan.model.train.steps = fast ? 1500 : 10000;
  plan.model.train.batch = 16;
  plan.sigmas = {0.25, 0.35, 0.5};
  plan.judge_steps = fast ? 400 : 1200;
  plan.flip = true;
  // An Ozaki step costs ten times one of digits. Where it is longer than these, chains leave the
  // data and their s2 needs Krylov spaces of hundreds.
  plan.relative_steps = step_grid(fast ? 4 : 5, 0.9564);
  plan.num_chains = 32;
  plan.num_steps = fast ? 50 : 150;
  plan.survey_steps = 50;
  plan.long_steps = 300;
  return plan;
}

}  // namespace scorejet::reproduce
