// What keeps joint training robust: s1 is out of the second-order loss's reach, and the shared
// trunk takes no more of its gradient than its share.
#include "scorejet/training/joint_step.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "scorejet/objectives/denoising.h"
#include "scorejet/score/autodiff_field.h"

namespace scorejet::training {
namespace {

struct Problem {
  models::ScoreModel model;
  FlatParameters parameters;
  NoisyBatch batch;
};

Problem make_problem() {
  torch::manual_seed(8);
  models::ScoreModelOptions options;
  options.network.dim = 6;
  options.network.width = 16;
  options.network.rank = 2;
  models::ScoreModel model(options, torch::zeros({6}), torch::ones({6}));
  {
    torch::NoGradGuard no_grad;  // heads start at zero; give every gradient somewhere to flow
    for (at::Tensor& p : model.network().parameters()) p.add_(0.2 * torch::randn_like(p));
  }
  FlatParameters parameters(model.network());
  return {std::move(model),
          std::move(parameters),
          {torch::randn({32, 6}), torch::randn({32, 6}), torch::full({32}, 0.4)}};
}

// The gradient of all that is not the second order's own.
at::Tensor shared_gradient(const Problem& p, double gamma, double trunk_share) {
  LossOptions options;
  options.gamma = gamma;
  options.trunk_share = trunk_share;
  options.clip_norm = 1e30;
  accumulate_gradients(p.model, options, p.batch, p.parameters);
  at::Tensor gradient = p.parameters.gradients().clone();
  for (const auto& range : p.parameters.ranges("s2")) {
    gradient.narrow(0, range.begin, range.end - range.begin).zero_();
  }
  return gradient;
}

TEST(JointStep, SigmaPowerWeighsTheFirstOrderAlone) {
  const Problem p = make_problem();  // σ = 0.4
  LossOptions options;
  const StepLosses plain = evaluate_losses(p.model, options, p.batch);
  options.sigma_power = 0.5;
  options.sigma_reference = 1.6;
  const StepLosses weighed = evaluate_losses(p.model, options, p.batch);
  EXPECT_NEAR(weighed.first, 2 * plain.first, 1e-5 * std::abs(plain.first));
  EXPECT_EQ(weighed.second, plain.second);
  options.sigma_reference = 0.4;
  EXPECT_NEAR(evaluate_losses(p.model, options, p.batch).first, plain.first,
              1e-5 * std::abs(plain.first));
}

// With a trunk each the second order reads the first's features (mlp) and leaves them alone.
TEST(JointStep, SeparateTrunksKeepTheSecondOrderToItself) {
  for (const char* kind : {"mlp", "unet"}) {
    const auto gradient = [&](double gamma, bool share) {
      torch::manual_seed(9);
      models::ScoreModelOptions options;
      options.network.kind = kind;
      options.network.dim = 16;
      options.network.image_shape = {1, 4, 4};
      options.network.width = 16;
      options.network.channels = 8;
      options.network.rank = 2;
      options.network.share_trunk = share;
      models::ScoreModel model(options, torch::zeros({16}), torch::ones({16}));
      {
        torch::NoGradGuard no_grad;
        for (at::Tensor& q : model.network().parameters()) q.add_(0.2 * torch::randn_like(q));
      }
      FlatParameters parameters(model.network());
      const Problem p{std::move(model),
                      std::move(parameters),
                      {torch::randn({8, 16}), torch::randn({8, 16}), torch::full({8}, 0.4)}};
      return shared_gradient(p, gamma, 1.0);
    };
    const at::Tensor weak = gradient(1e-6, false), strong = gradient(1.0, false);
    EXPECT_GT(weak.norm().item<double>(), 0) << kind;
    EXPECT_TRUE(weak.equal(strong)) << kind;
    EXPECT_FALSE(gradient(1e-6, true).equal(gradient(1.0, true))) << kind << " control";
  }
}

TEST(JointStep, TrunkTakesNoMoreThanItsShareOfTheSecondOrder) {
  const Problem p = make_problem();
  const at::Tensor alone = shared_gradient(p, 0.1, 1e-9);
  const at::Tensor bounded = shared_gradient(p, 1e6, 1.0), again = shared_gradient(p, 1e9, 1.0);
  EXPECT_GT(alone.norm().item<double>(), 0);
  // Bounded at the features: a thousandfold weight changes nothing once the bound is in force.
  EXPECT_LT((bounded - again).norm().item<double>(), 1e-4 * bounded.norm().item<double>());
  EXPECT_GT((bounded - alone).norm().item<double>(), 1e-3 * alone.norm().item<double>());
}

// The step takes Jᵀ v through the graph of its own s1; a validation traces s1 anew.
TEST(JointStep, TheSketchIsThatOfTheJacobian) {
  const Problem p = make_problem();
  LossOptions options;
  options.form = objectives::Form::kSketch;
  for (const bool pair : {false, true}) {
    options.variance_reduction = pair;
    const StepLosses step = accumulate_gradients(p.model, options, p.batch, p.parameters);
    const StepLosses traced = evaluate_losses(p.model, options, p.batch);
    EXPECT_NEAR(step.second, traced.second, 1e-5 * traced.second) << pair;
    EXPECT_GT(traced.second, 0.1) << pair;  // not a sum of nothing
  }
}

// The diagonal's own weights get the gradient of the isotropic sketch and nothing else.
TEST(JointStep, LeadingVectorsMoveTheFactorAlone) {
  const Problem p = make_problem();
  LossOptions options;
  options.form = objectives::Form::kSketch;
  options.variance_reduction = false;
  options.clip_norm = 1e30;
  const auto of = [&](const std::string& head) {
    std::vector<at::Tensor> parts;
    for (const auto& range : p.parameters.ranges(head)) {
      parts.push_back(
          p.parameters.gradients().narrow(0, range.begin, range.end - range.begin).clone());
    }
    return at::cat(parts);
  };
  accumulate_gradients(p.model, options, p.batch, p.parameters);
  const at::Tensor diagonal = of("s2_diagonal"), factor = of("s2_factor");

  p.parameters.gradients().zero_();
  const at::Tensor x = p.batch.x + p.batch.sigma.unsqueeze(-1) * p.batch.z;
  const at::Tensor v = p.batch.z.roll(1, 0);
  const at::Tensor jv = score::jacobian_vector_product(p.model, x, p.batch.sigma, v, true);
  const at::Tensor loss = objectives::sketch_loss(*p.model.evaluate(x, p.batch.sigma, 2).s2, v, jv);
  const at::Tensor scale = p.model.residual_scale(p.batch.sigma).square();
  torch::autograd::backward({options.gamma * (loss / scale).mean()});
  EXPECT_LT((of("s2_diagonal") - diagonal).norm().item<double>(),
            1e-5 * diagonal.norm().item<double>());
  EXPECT_GT((of("s2_factor") - factor).norm().item<double>(), 0.1 * factor.norm().item<double>());
}

TEST(JointStep, EachOrderIsClippedOnItsOwn) {
  const Problem p = make_problem();
  LossOptions options;
  options.gamma = 1e6;
  options.clip_norm = 0.5;
  const StepLosses losses = accumulate_gradients(p.model, options, p.batch, p.parameters);
  EXPECT_GT(losses.second_gradient, 1e3);
  double own = 0;
  for (const auto& range : p.parameters.ranges("s2")) {
    own += p.parameters.gradients()
               .narrow(0, range.begin, range.end - range.begin)
               .square()
               .sum()
               .item<double>();
  }
  const double all = p.parameters.gradients().square().sum().item<double>();
  EXPECT_NEAR(std::sqrt(own), 0.5, 1e-4);
  EXPECT_LE(std::sqrt(all - own), 0.5 + 1e-4);
  EXPECT_GT(std::sqrt(all - own), 0.01);  // the first order is not drowned
}

TEST(JointStep, ClippingLeftToTheOptimiserIsTheSame) {
  const Problem p = make_problem();
  LossOptions options;
  options.gamma = 1e6;
  options.clip_norm = 0.5;
  std::vector<GradientScale> clips;
  const StepLosses left = compute_gradients(p.model, options, p.batch, p.parameters, clips);
  AdamState one = make_adam_state(p.parameters.values()), other = one;
  other.first_moment = one.first_moment.clone();
  other.second_moment = one.second_moment.clone();
  other.average = one.average.clone();
  const at::Tensor values = p.parameters.values().clone(), again = values.clone();
  adam_step(one, values, p.parameters.gradients(), 0.01, 0.99, clips);
  EXPECT_GT(p.parameters.gradients().norm().item<double>(), 1e3) << "not clipped in place";

  const StepLosses losses = accumulate_gradients(p.model, options, p.batch, p.parameters);
  EXPECT_EQ(left.second_gradient, losses.second_gradient);
  adam_step(other, again, p.parameters.gradients(), 0.01, 0.99);
  EXPECT_LT((one.first_moment - other.first_moment).abs().max().item<double>(),
            1e-6 * other.first_moment.abs().max().item<double>());
  EXPECT_LT((one.second_moment - other.second_moment).abs().max().item<double>(),
            1e-6 * other.second_moment.abs().max().item<double>());
}

}  // namespace
}  // namespace scorejet::training
