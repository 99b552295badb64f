#include <fmt/format.h>

#include "reproduce/denoising/denoising.h"

namespace scorejet::reproduce {
namespace {

// Beside the main model: other structures of s2, trained for `steps`.
void add_structures(DenoisingPlan& plan, int64_t steps) {
  training::RunConfig config = plan.model;
  config.train.steps = steps;
  for (const int64_t rank : {5, 20, 50}) {
    config.model.network.rank = rank;
    plan.sides.push_back({fmt::format("rank{}", rank), config});
  }
  config.model.network.s2 = nets::Structure::kDiagonal;
  config.loss.leading = 0;
  plan.sides.push_back({"diagonal", config});
}

// One model for each sigma alone, and their twin: the main model's own settings, as many steps.
void add_single_sigmas(DenoisingPlan& plan, int64_t steps) {
  training::RunConfig config = plan.model;
  config.train.steps = steps;
  plan.twin = "twin";
  plan.sides.push_back({plan.twin, config});
  for (const double sigma : plan.sigmas) {
    config.noise.sigma = sigma;
    config.noise.sigma_max = 0;
    plan.sides.push_back({fmt::format("sigma{:g}", sigma), config, false});
  }
}

// Variances are learned from samples, of every image alike whatever its size, the small ones by the
// likelihood; the directions that lead from the Jacobian too, without the noise of single samples.
DenoisingPlan common_settings(const std::string& data) {
  DenoisingPlan plan;
  plan.model.data.name = data;
  plan.model.noise.sigma_max = 1.0;
  plan.model.model.network.s2 = nets::Structure::kLowRank;
  plan.model.model.network.rank =
      32;  // of which the leading 20 are learned better than as a rank of 20
  plan.model.loss.leading = 0.2;
  plan.model.loss.variance_reduction = false;
  plan.model.loss.sigma_power = 0.6;
  plan.model.loss.variance_power = 1;
  plan.model.loss.terms["likelihood"] = 2;
  plan.model.train.batch = 16;
  plan.model.train.learning_rate = 3e-3;
  plan.model.train.warmup = 200;
  plan.model.loss.trunk_share = 0.5;
  return plan;
}

void shorten(DenoisingPlan& plan) {
  plan.num_images = plan.num_calibration = 100;
  plan.num_jacobian = 8;
  plan.num_residuals = 500;
}

}  // namespace

DenoisingPlan denoise_mnist_plan(bool fast) {
  DenoisingPlan plan = common_settings("mnist");
  plan.sigmas = {0.3, 0.5, 1.0};
  plan.model.noise.sigma = 0.3;
  plan.num_images = 1000;
  plan.model.model.network.unet.channels = fast ? 32 : 48;
  plan.model.train.steps = fast ? 650 : 22000;
  add_structures(plan, fast ? 60 : 300);
  add_single_sigmas(plan, fast ? 60 : 1600);
  if (fast) shorten(plan);
  return plan;
}

DenoisingPlan denoise_cifar10_plan(bool fast) {
  DenoisingPlan plan = common_settings("cifar10");
  plan.sigmas = {0.25, 0.5, 1.0};
  plan.model.noise.sigma = 0.25;
  plan.model.model.network.unet.channels = fast ? 32 : 48;
  plan.model.model.network.unet.levels = 3;
  plan.model.train.steps = fast ? 250 : 9000;
  add_structures(plan, fast ? 30 : 200);
  plan.num_images = 1000;
  plan.num_jacobian = 24;  // thousands of products each
  if (fast) {
    shorten(plan);
    plan.num_jacobian = 2;
  }
  return plan;
}

}  // namespace scorejet::reproduce
