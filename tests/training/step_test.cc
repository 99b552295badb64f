// What keeps joint training robust: s1 is out of the second-order loss's reach, and the shared
// trunk takes no more of its gradient than its share.
#include "src/training/step.h"

#include <ATen/record_function.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <atomic>
#include <set>

#include "scorejet/autodiff_field.h"
#include "src/nets/network.h"
#include "src/objectives/denoising.h"
#include "tests/models/small_model.h"
#include "tests/training/gradients.h"

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
  options.network.mlp.width = 16;
  options.network.rank = 2;
  models::ScoreModel model = testing::perturbed_model(options, 0.2);  // so that gradients flow
  FlatParameters parameters(model.network());
  return {std::move(model),
          std::move(parameters),
          {torch::randn({32, 6}), torch::randn({32, 6}), torch::full({32}, 0.4)}};
}

// The gradient of all that is not the second order's own.
at::Tensor shared_gradient(const Problem& p, double gamma, double trunk_share) {
  objectives::LossOptions options;
  options.gamma = gamma;
  options.trunk_share = trunk_share;
  options.clip_norm = 1e30;
  accumulate_gradients(p.model, options, p.batch, p.parameters);
  at::Tensor gradient = p.parameters.gradients().clone();
  for (const auto& range : ranges_of(p.model, p.parameters, "s2")) {
    gradient.narrow(0, range.begin, range.end - range.begin).zero_();
  }
  return gradient;
}

TEST(JointStep, SigmaPowerWeighsTheFirstOrderAlone) {
  const Problem p = make_problem();  // σ = 0.4
  objectives::LossOptions options;
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
      models::ScoreModelOptions options = testing::small_options(kind);
      options.network.share_trunk = share;
      models::ScoreModel model = testing::perturbed_model(options, 0.2);
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
TEST(JointStep, SeesTheJacobianThatAValidationTraces) {
  const Problem p = make_problem();
  for (const auto form : {objectives::Form::kSketch, objectives::Form::kCentred}) {
    for (const bool pair : {false, true}) {
      for (const double leading : {0.0, 10.0}) {
        objectives::LossOptions options;
        options.form = form;
        options.variance_reduction = pair;
        options.leading = leading;
        const StepLosses step = accumulate_gradients(p.model, options, p.batch, p.parameters);
        const StepLosses traced = evaluate_losses(p.model, options, p.batch);
        EXPECT_NEAR(step.second, traced.second, 1e-5 * std::abs(traced.second)) << pair << leading;
        EXPECT_GT(std::abs(traced.second), 0.1) << pair << leading;  // not a sum of nothing
      }
    }
  }
}

// The diagonal's own weights get the gradient of the isotropic sketch and nothing else.
TEST(JointStep, TheSketchsVectorInTheSpanMovesTheFactorAlone) {
  const Problem p = make_problem();
  objectives::LossOptions options;
  options.form = objectives::Form::kSketch;
  options.variance_reduction = false;
  options.clip_norm = 1e30;
  accumulate_gradients(p.model, options, p.batch, p.parameters);
  const at::Tensor diagonal = gradient_of(p.model, p.parameters, "s2_diagonal"),
                   factor = gradient_of(p.model, p.parameters, "s2_factor");

  p.parameters.gradients().zero_();
  const at::Tensor x = p.batch.x + p.batch.sigma.unsqueeze(-1) * p.batch.z;
  const at::Tensor v = p.batch.z.roll(1, 0);
  const at::Tensor jv = score::jacobian_vector_product(p.model, x, p.batch.sigma, v, true);
  const at::Tensor loss = objectives::sketch_loss(*p.model.evaluate(x, p.batch.sigma, 2).s2, v, jv);
  const at::Tensor scale = p.model.residual_scale(p.batch.sigma).square();
  torch::autograd::backward({options.gamma * (loss / scale).mean()});
  EXPECT_LT((gradient_of(p.model, p.parameters, "s2_diagonal") - diagonal).norm().item<double>(),
            1e-5 * diagonal.norm().item<double>());
  EXPECT_GT((gradient_of(p.model, p.parameters, "s2_factor") - factor).norm().item<double>(),
            0.1 * factor.norm().item<double>());
}

TEST(JointStep, EachOrderIsClippedOnItsOwn) {
  const Problem p = make_problem();
  objectives::LossOptions options;
  options.gamma = 1e6;
  options.clip_norm = 0.5;
  const StepLosses losses = accumulate_gradients(p.model, options, p.batch, p.parameters);
  EXPECT_GT(losses.second_gradient, 1e3);
  const double own = gradient_of(p.model, p.parameters, "s2").square().sum().item<double>();
  const double all = p.parameters.gradients().square().sum().item<double>();
  EXPECT_NEAR(std::sqrt(own), 0.5, 1e-4);
  EXPECT_LE(std::sqrt(all - own), 0.5 + 1e-4);
  EXPECT_GT(std::sqrt(all - own), 0.01);  // the first order is not drowned
}

TEST(JointStep, ClippingLeftToTheOptimiserIsTheSame) {
  const Problem p = make_problem();
  objectives::LossOptions options;
  options.gamma = 1e6;
  options.clip_norm = 0.5;
  std::vector<GradientScale> clips;
  const StepLosses left =
      read_losses(compute_gradients(p.model, options, p.batch, p.parameters, clips));
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

std::atomic<int> reads{0};

// Counts the operations that hand numbers to the host: on an accelerator each waits for all before.
std::unique_ptr<at::ObserverContext> count_read(const at::RecordFunction& function) {
  static const std::set<std::string> kReading{"aten::item", "aten::_local_scalar_dense",
                                              "aten::is_nonzero", "aten::nonzero", "aten::equal"};
  if (kReading.contains(function.name())) ++reads;
  return nullptr;
}

template <typename Body>
int reads_of(Body&& body) {
  const auto handle = at::addGlobalCallback(
      at::RecordFunctionCallback(count_read).scopes({at::RecordScope::FUNCTION}));
  reads = 0;
  body();
  at::removeCallback(handle);
  return reads;
}

TEST(JointStep, AStepReadsNothingOnTheHost) {
  const int one_item = reads_of([] { torch::ones({1}).item<float>(); });
  ASSERT_GT(one_item, 0);
  const Problem p = make_problem();
  AdamState adam = make_adam_state(p.parameters.values());
  for (const char* form : {"product", "centred", "sketch"}) {
    for (const bool reduced : {false, true}) {
      objectives::LossOptions options;
      options.form = objectives::parse_form(form);
      options.variance_reduction = reduced;
      options.variance_power = reduced ? 0 : 1;
      std::vector<GradientScale> clips;
      at::Tensor losses;
      const int count = reads_of([&] {
        losses = compute_gradients(p.model, options, p.batch, p.parameters, clips);
        adam_step_plain(adam, p.parameters.values(), p.parameters.gradients(), 1e-3, 0.999, clips);
      });
      // LibTorch's eigendecomposition of the sketch's r x r matrices looks at its error flags.
      EXPECT_EQ(count, options.form == objectives::Form::kSketch ? one_item : 0)
          << form << (reduced ? ", reduced" : "");
      const StepLosses read = read_losses(losses);
      EXPECT_TRUE(std::isfinite(read.first + read.second + read.second_gradient));
      EXPECT_TRUE(std::isnan(read.third) && read.third_gradient == 0);
    }
  }
}

// Sample by sample: the gradient is the unweighed one over a power of the posterior's variance.
TEST(JointStep, VariancePowerWeighsEachSampleByItsPosteriorVariance) {
  const Problem p = make_problem();
  objectives::LossOptions options;
  options.variance_reduction = false;
  options.clip_norm = 1e30;
  const auto head = [&](double power, const NoisyBatch& batch) {
    options.variance_power = power;
    accumulate_gradients(p.model, options, batch, p.parameters);
    return gradient_of(p.model, p.parameters, "s2");
  };
  at::Tensor sum, weighed;
  for (int64_t i = 0; i < 32; ++i) {
    const NoisyBatch one{p.batch.x.narrow(0, i, 1), p.batch.z.narrow(0, i, 1),
                         p.batch.sigma.narrow(0, i, 1)};
    const at::Tensor noisy = one.x + one.sigma.unsqueeze(-1) * one.z;
    const at::Tensor curvature = p.model.evaluate(noisy, one.sigma, 2).s2->dense()[0];
    const at::Tensor variance =  // over sigma², and its size before anything is known
        (1 + 0.16 * curvature.diagonal().mean()) / (0.16 * p.model.residual_scale(one.sigma)[0]);
    const at::Tensor gradient = head(0, one);
    EXPECT_LT((head(2, one) - gradient / variance.square()).norm().item<double>(),
              1e-4 * gradient.norm().item<double>() / variance.square().item<double>());
    weighed = (i == 0 ? torch::zeros_like(gradient) : weighed) + gradient / variance / 32;
    sum = (i == 0 ? torch::zeros_like(gradient) : sum) + gradient / 32;
  }
  const at::Tensor whole = head(1, p.batch);
  EXPECT_LT((whole - weighed).norm().item<double>(), 1e-4 * weighed.norm().item<double>());
  EXPECT_GT((whole - sum).norm().item<double>(), 0.05 * sum.norm().item<double>());
}

// What a term of order 2 adds to the gradient of one head, for each unit of its weight.
using Weight = double& (*)(objectives::LossOptions&);
at::Tensor added(const Problem& p, const char* head, Weight term, double weight) {
  objectives::LossOptions options;
  options.clip_norm = 1e30;
  EXPECT_EQ(ranges_of(p.model, p.parameters, head).size(), 1);
  accumulate_gradients(p.model, options, p.batch, p.parameters);
  const at::Tensor without = gradient_of(p.model, p.parameters, head).clone();
  term(options) = weight;
  accumulate_gradients(p.model, options, p.batch, p.parameters);
  return (gradient_of(p.model, p.parameters, head) - without) / weight;
}

TEST(JointStep, LeadingDirectionsMoveTheFactorAndTheLikelihoodTheDiagonal) {
  const Problem p = make_problem();
  const Weight leading = [](objectives::LossOptions& o) -> double& { return o.leading; };
  const Weight likelihood = [](objectives::LossOptions& o) -> double& {
    return o.terms["likelihood"];
  };
  for (const auto& [term, moved, left] : {std::tuple{leading, "s2_factor", "s2_diagonal"},
                                          std::tuple{likelihood, "s2_diagonal", "s2_factor"}}) {
    const at::Tensor one = added(p, moved, term, 1);
    EXPECT_GT(one.norm().item<double>(), 1e-4) << moved;
    EXPECT_LT((added(p, moved, term, 2) - one).norm().item<double>(),
              1e-3 * one.norm().item<double>())
        << moved;
    EXPECT_EQ(added(p, left, term, 1).norm().item<double>(), 0) << left;
  }
}

// As copies of a model on several machines would average theirs: what is clipped, and the norms
// that are reported, are those of the reduced gradient.
TEST(JointStep, ClipsTheReducedGradient) {
  const Problem p = make_problem();
  std::vector<GradientScale> clips, halved_clips;
  const objectives::LossOptions options{.clip_norm = 1e-3};
  const StepLosses whole =
      read_losses(compute_gradients(p.model, options, p.batch, p.parameters, clips));
  const at::Tensor gradient = p.parameters.gradients().clone();
  const StepLosses halved =
      read_losses(compute_gradients(p.model, options, p.batch, p.parameters, halved_clips,
                                    [](const at::Tensor& flat) { flat.mul_(0.5); }));
  EXPECT_TRUE(p.parameters.gradients().equal(0.5 * gradient));
  EXPECT_EQ(halved.first, whole.first);
  EXPECT_NEAR(halved.first_gradient, 0.5 * whole.first_gradient, 1e-6 * whole.first_gradient);
  EXPECT_NEAR(halved.second_gradient, 0.5 * whole.second_gradient, 1e-6 * whole.second_gradient);
  ASSERT_EQ(clips.size(), halved_clips.size());
  for (size_t i = 0; i < clips.size(); ++i) {
    const double factor = clips[i].factor.item<double>();
    EXPECT_LT(factor, 0.5);
    EXPECT_NEAR(halved_clips[i].factor.item<double>(), 2 * factor, 1e-6 * factor);
  }
}

}  // namespace
}  // namespace scorejet::training
