// What every optional term of the second-order loss must do: one value a sample, whatever the
// structure and the type of numbers; the gradient that its values have; and on average nothing that
// leads away from the true scores.
#include "tests/objectives/conformance.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include <cmath>

#include "scorejet/run_config.h"

namespace scorejet::objectives {
namespace {

using linalg::SymmetricOperator;

constexpr int64_t kTermRows = 5, kTermDim = 4;

struct TermInputs {
  at::Tensor s1, z, sigma, a, factor;

  SymmetricOperator low_rank() const { return SymmetricOperator::from_low_rank(a, factor); }
  at::Tensor loss(const Term& term, const SymmetricOperator& s2) const {
    return term.loss(s1, s2, z, sigma);
  }
};

// s2 = diag(a) + F Fᵀ with I + σ² s2 positive definite.
TermInputs term_inputs() {
  torch::manual_seed(51);
  const auto options = at::TensorOptions(at::kDouble);
  TermInputs in{.s1 = at::randn({kTermRows, kTermDim}, options),
                .z = at::randn({kTermRows, kTermDim}, options),
                .sigma = 0.3 + at::rand({kTermRows}, options),
                .a = {},
                .factor = at::randn({kTermRows, kTermDim, 2}, options)};
  in.a = (at::rand({kTermRows, kTermDim}, options) - 0.9) / in.sigma.square().unsqueeze(1);
  return in;
}

TEST(Conformance, ItsWeightIsASettingThatIsOffUnlessSet) {
  for (const Term& term : terms()) {
    SCOPED_TRACE(term.name);
    training::RunConfig config;
    EXPECT_EQ(config.loss.terms[term.name], 0);
    training::apply_setting(config, "loss." + term.name + "=0.5");
    EXPECT_EQ(config.loss.terms[term.name], 0.5);
    EXPECT_NE(training::to_toml(config).find(term.help), std::string::npos);
    EXPECT_THROW(
        {
          training::apply_setting(config, "loss." + term.name + "=-1");
          training::validate(config);
        },
        std::invalid_argument);
  }
  for (const Term& term : terms_under_test()) EXPECT_GT(term.help.size(), 10U) << term.name;
  TermWeights weights;
  EXPECT_THROW(weights["no-such-term"], std::invalid_argument);
}

TEST(Conformance, IsAValueASampleInEveryStructureAndType) {
  const TermInputs in = term_inputs();
  for (const Term& term : terms_under_test()) {
    SCOPED_TRACE(term.name);
    const at::Tensor loss = in.loss(term, in.low_rank());
    EXPECT_EQ(loss.sizes(), at::IntArrayRef({kTermRows}));
    const auto gap = [&](const at::Tensor& other) {
      return ((other - loss).abs().max() / loss.abs().max()).item<double>();
    };
    EXPECT_LT(gap(in.loss(term, SymmetricOperator::from_dense(in.low_rank().dense()))), 1e-10);
    const auto narrow = [](const at::Tensor& x) { return x.to(at::kFloat); };
    EXPECT_LT(gap(term.loss(narrow(in.s1),
                            SymmetricOperator::from_low_rank(narrow(in.a), narrow(in.factor)),
                            narrow(in.z), narrow(in.sigma))),
              1e-4);
    const auto zero = at::zeros_like(in.factor);
    const at::Tensor diagonal = in.loss(term, SymmetricOperator::from_diagonal(in.a));
    const at::Tensor no_rank = in.loss(term, SymmetricOperator::from_low_rank(in.a, zero));
    EXPECT_LT((diagonal - no_rank).abs().max().item<double>(), 1e-10);
    // No row depends on which others are in the batch.
    const auto alone = term.loss(in.s1.narrow(0, 1, 1), in.low_rank().slice(1, 1),
                                 in.z.narrow(0, 1, 1), in.sigma.narrow(0, 1, 1));
    EXPECT_NEAR(alone[0].item<double>(), loss[1].item<double>(), 1e-12);
  }
}

TEST(Conformance, HasTheGradientOfItsValuesAndNoneInS1) {
  const TermInputs in = term_inputs();
  constexpr double kStep = 1e-5;
  for (const Term& term : terms_under_test()) {
    SCOPED_TRACE(term.name);
    const at::Tensor a = in.a.clone().requires_grad_(), s1 = in.s1.clone().requires_grad_();
    const at::Tensor sum = term.loss(s1, SymmetricOperator::from_diagonal(a), in.z, in.sigma).sum();
    const auto gradient = torch::autograd::grad({sum}, {a, s1}, {}, false, false, true);
    EXPECT_FALSE(gradient[1].defined());
    for (int64_t i = 0; i < kTermDim; ++i) {
      at::Tensor shift = at::zeros_like(in.a);
      shift.select(1, i).fill_(kStep);
      const auto at_shifted = [&](const at::Tensor& moved) {
        return in.loss(term, SymmetricOperator::from_diagonal(moved));
      };
      const at::Tensor slope = (at_shifted(in.a + shift) - at_shifted(in.a - shift)) / (2 * kStep);
      EXPECT_LT(((slope - gradient[0].select(1, i)).abs() / (1 + slope.abs())).max().item<double>(),
                1e-6);
    }
    EXPECT_GT(gradient[0].abs().min().item<double>(), 0);
  }
}

// N(0, V) with noise: at the true scores the mean slope along each part of s2 is zero within five
// standard errors (all three fail to be by chance once in 600,000 terms), and where C is a fifth
// too large it leads back.
TEST(Conformance, LeadsToTheTrueScores) {
  torch::manual_seed(52);
  constexpr int64_t kSamples = 100000;
  constexpr double kSigma = 0.7;
  const auto options = at::TensorOptions(at::kDouble);
  const at::Tensor variance = at::tensor({0.1, 1.0, 5.0}, options);
  const at::Tensor z = at::randn({kSamples, 3}, options);
  const at::Tensor x = at::randn({kSamples, 3}, options) * variance.sqrt() + kSigma * z;
  const at::Tensor precision = 1 / (variance + kSigma * kSigma), s1 = -precision * x;
  const auto slopes = [&](const Term& term, double factor) {  // in standard errors
    const at::Tensor c = factor * (1 - kSigma * kSigma * precision);
    const at::Tensor a =
        ((c - 1) / (kSigma * kSigma)).expand({kSamples, 3}).clone().requires_grad_();
    const at::Tensor loss = term.loss(s1, SymmetricOperator::from_diagonal(a), z,
                                      at::full({kSamples}, kSigma, options));
    const at::Tensor slope = torch::autograd::grad({loss.sum()}, {a})[0];
    return slope.mean(0) / (slope.std(0) / std::sqrt(static_cast<double>(kSamples)));
  };
  for (const Term& term : terms_under_test()) {
    SCOPED_TRACE(term.name);
    EXPECT_LT(slopes(term, 1).abs().max().item<double>(), 5);
    EXPECT_GT(slopes(term, 1.2).min().item<double>(), 6);
  }
}

TEST(Conformance, NamesABadShape) {
  const TermInputs in = term_inputs();
  for (const Term& term : terms_under_test()) {
    SCOPED_TRACE(term.name);
    EXPECT_THROW(term.loss(in.s1, in.low_rank(), in.z, at::ones({kTermRows + 1}, at::kDouble)),
                 std::invalid_argument);
    EXPECT_THROW(term.loss(in.s1.narrow(1, 0, 2), in.low_rank(), in.z, in.sigma),
                 std::invalid_argument);
    EXPECT_THROW(
        term.loss(in.s1, SymmetricOperator::from_diagonal(in.a.narrow(1, 0, 2)), in.z, in.sigma),
        std::invalid_argument);
  }
}

}  // namespace
}  // namespace scorejet::objectives
