// Each loss against its naive dense form in float64, its gradient against central differences, and
// the minimiser of its expectation on a Gaussian.
#include "src/objectives/denoising.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

namespace scorejet::objectives {
namespace {

using linalg::SymmetricOperator;

// ½‖h + Δ‖² − ½‖Δ‖² with everything formed; diagonal structures keep the diagonal only.
at::Tensor naive(Form form, const at::Tensor& s1, const SymmetricOperator& s2, const at::Tensor& z,
                 const at::Tensor& sigma) {
  const auto outer = [](const at::Tensor& u) { return u.unsqueeze(-1) * u.unsqueeze(1); };
  const at::Tensor v = form == Form::kCentred ? z + sigma.unsqueeze(-1) * s1 : z;
  const at::Tensor h = form == Form::kCentred ? s2.dense() : s2.dense() + outer(s1);
  at::Tensor delta = (at::eye(z.size(1), z.options()) - outer(v)) / sigma.square().view({-1, 1, 1});
  at::Tensor sum = h + delta;
  if (s2.structure() == linalg::Structure::kDiagonal) {
    sum = at::diag_embed(sum.diagonal(0, 1, 2));
    delta = at::diag_embed(delta.diagonal(0, 1, 2));
  }
  return 0.5 * (sum.square().sum({1, 2}) - delta.square().sum({1, 2}));
}

struct Problem {
  at::Tensor s1, z, sigma, a, b;
};

Problem make_problem() {
  torch::manual_seed(4);
  return {at::randn({3, 6}, at::kDouble), at::randn({3, 6}, at::kDouble),
          0.3 + at::rand({3}, at::kDouble), at::randn({3, 6}, at::kDouble),
          at::randn({3, 6, 2}, at::kDouble)};
}

TEST(HessianLoss, EqualsNaiveDenseForm) {
  const Problem p = make_problem();
  const std::vector<SymmetricOperator> structures{
      SymmetricOperator::from_low_rank(p.a, p.b), SymmetricOperator::from_diagonal(p.a),
      SymmetricOperator::from_dense(p.b.matmul(p.b.transpose(1, 2)))};
  for (Form form : {Form::kProduct, Form::kCentred}) {
    for (const auto& s2 : structures) {
      const at::Tensor expected = naive(form, p.s1, s2, p.z, p.sigma);
      const at::Tensor error = (hessian_loss(form, p.s1, s2, p.z, p.sigma) - expected) / expected;
      EXPECT_LT(error.abs().max().item<double>(), 1e-10) << form_name(form);
    }
  }
}

TEST(HessianLoss, GradientEqualsCentralDifferences) {
  const Problem p = make_problem();
  for (Form form : {Form::kProduct, Form::kCentred}) {
    const at::Tensor b = p.b.clone().requires_grad_(), s1 = p.s1.clone().requires_grad_();
    const auto value = [&](const at::Tensor& factor) {
      return hessian_loss(form, s1, SymmetricOperator::from_low_rank(p.a, factor), p.z, p.sigma)
          .sum();
    };
    torch::autograd::backward({value(b)});
    EXPECT_FALSE(s1.grad().defined()) << "no gradient may flow into s1";
    const at::Tensor direction = at::randn_like(p.b);
    const double h = 1e-5;
    const double numeric =
        ((value(p.b + h * direction) - value(p.b - h * direction)) / (2 * h)).item<double>();
    const double exact = (b.grad() * direction).sum().item<double>();
    EXPECT_NEAR(numeric, exact, 1e-6 * std::abs(exact));
  }
}

TEST(ScoreLoss, AntitheticIsThePairsMean) {
  const Problem p = make_problem();
  const at::Tensor other = at::randn_like(p.s1);
  const at::Tensor pair =
      0.5 * (score_loss(p.s1, p.z, p.sigma) + score_loss(other, -p.z, p.sigma)) -
      (p.z / p.sigma.unsqueeze(-1)).square().sum(-1);
  const at::Tensor error = score_loss_antithetic(p.s1, other, p.z, p.sigma) - pair;
  EXPECT_LT(error.abs().max().item<double>(), 1e-10);
}

// On x ~ N(0, C), with the exact s1 = −P x̃, a constant dense h has E loss = ½‖h‖² + ⟨E Δ-like, h⟩,
// so the minimiser is −mean(∂ of the linear part); both forms must give s2 = −P, P = (C + σ²I)⁻¹.
class GaussianMinimiser : public ::testing::TestWithParam<std::tuple<Form, bool>> {};

TEST_P(GaussianMinimiser, IsMinusPrecision) {
  const auto [form, reduced] = GetParam();
  constexpr int64_t kDim = 3, kSamples = 400000;
  torch::manual_seed(5);
  const at::Tensor root = at::randn({kDim, kDim}, at::kDouble);
  const double sigma = 0.7;
  const at::Tensor covariance = root.matmul(root.t());
  const at::Tensor precision =
      at::linalg_inv(covariance + sigma * sigma * at::eye(kDim, at::kDouble));
  const at::Tensor x = at::randn({kSamples, kDim}, at::kDouble).matmul(root.t());
  const at::Tensor z = at::randn_like(x);
  const at::Tensor levels = at::full({kSamples}, sigma, at::kDouble);
  const auto s1 = [&](const at::Tensor& point) { return -point.matmul(precision); };
  at::Tensor h = at::zeros({kDim, kDim}, at::kDouble).requires_grad_();
  // The loss is quadratic with unit curvature in h (s2 = h everywhere): one Newton step from zero.
  const auto op = SymmetricOperator::from_dense(h.expand({kSamples, kDim, kDim}));
  const at::Tensor noise = sigma * z;
  const at::Tensor loss =
      reduced ? hessian_loss_antithetic(form, at::cat({s1(x + noise), s1(x - noise), s1(x)}),
                                        linalg::concatenate({op, op, op}), z, levels)
              : hessian_loss(form, s1(x + noise), op, z, levels);
  torch::autograd::backward({loss.mean()});
  const at::Tensor estimate = -0.5 * (h.grad() + h.grad().t());
  // Entries of zzᵀ/σ² have standard deviation at most √2/σ² ≈ 2.9 (and ψ's s1 s1ᵀ, for the product
  // form, a little more): five standard errors of 4/√400000 are 0.032. False alarms below 1e-5 in
  // all.
  EXPECT_LT((estimate + precision).abs().max().item<double>(), 0.032);
  EXPECT_GT((estimate + 1.2 * precision).abs().max().item<double>(), 0.032) << "control";
}

INSTANTIATE_TEST_SUITE_P(All, GaussianMinimiser,
                         ::testing::Combine(::testing::Values(Form::kProduct, Form::kCentred),
                                            ::testing::Bool()));

// The pair and the control variates against the formula with every matrix formed.
TEST(HessianLoss, AntitheticEqualsNaiveDenseForm) {
  const Problem p = make_problem();
  torch::manual_seed(41);
  const at::Tensor s1_minus = at::randn_like(p.s1), s1_clean = at::randn_like(p.s1);
  const auto low_rank = [&] {
    return SymmetricOperator::from_low_rank(at::randn_like(p.a), at::randn_like(p.b));
  };
  const SymmetricOperator plus = low_rank(), minus = low_rank(), clean = low_rank();
  const at::Tensor s1 = at::cat({p.s1, s1_minus, s1_clean});
  const SymmetricOperator s2 = linalg::concatenate({plus, minus, clean});
  for (Form form : {Form::kProduct, Form::kCentred}) {
    const at::Tensor identity = at::eye(6, at::kDouble);
    const at::Tensor h =
        form == Form::kCentred ? clean.dense() : clean.plus_outer(s1_clean).dense();
    const at::Tensor c = form == Form::kCentred
                             ? identity + p.sigma.square().view({-1, 1, 1}) * clean.dense()
                             : identity.expand({3, 6, 6});
    const at::Tensor w = at::matmul(c, p.z.unsqueeze(-1));
    const at::Tensor variate =
        (h * (at::matmul(c, c) - at::matmul(w, w.transpose(1, 2)))).sum({1, 2}) / p.sigma.square();
    const at::Tensor expected = 0.5 * (naive(form, p.s1, plus, p.z, p.sigma) +
                                       naive(form, s1_minus, minus, -p.z, p.sigma)) -
                                variate;
    const at::Tensor error = hessian_loss_antithetic(form, s1, s2, p.z, p.sigma) - expected;
    EXPECT_LT(error.abs().max().item<double>(), 1e-9 * expected.abs().max().item<double>())
        << form_name(form);
  }
}

// With h(x) = A + diag(x) W that changes with x, s1 wrong and σ = 0.3: the expected gradient is the
// same with variance reduction and without. A, W of six entries each; a difference of means over
// 400,000 samples within five of its standard errors: false alarms below 1e-5 in all. The control
// adds half a trace.
TEST(HessianLoss, VarianceReductionLeavesTheExpectedGradient) {
  constexpr int64_t kDim = 3, kSamples = 400000;
  torch::manual_seed(42);
  const double sigma = 0.3;
  const at::Tensor x = at::randn({kSamples, kDim}, at::kDouble).pow(3) * 0.3;
  const at::Tensor z = at::randn_like(x), levels = at::full({kSamples}, sigma, at::kDouble);
  const at::Tensor w = 0.5 * at::randn({kDim}, at::kDouble);
  const auto s1 = [](const at::Tensor& point) { return -0.8 * point + 0.3 * point.sin(); };
  const auto gradients = [&](Form form, bool reduced, bool broken) {
    const at::Tensor a = at::zeros({kSamples, kDim}, at::kDouble).requires_grad_();
    const at::Tensor slope = w.expand({kSamples, kDim}).clone().requires_grad_();
    const auto h = [&](const at::Tensor& point) {
      return SymmetricOperator::from_diagonal(a + slope * point);
    };
    const at::Tensor plus = x + sigma * z, minus = x - sigma * z;
    at::Tensor loss = hessian_loss(form, s1(plus), h(plus), z, levels);
    if (reduced) {
      const at::Tensor scores = at::cat({s1(plus), s1(minus), s1(x)});
      const SymmetricOperator s2 = linalg::concatenate({h(plus), h(minus), h(x)});
      loss = hessian_loss_antithetic(form, scores, s2, z, levels);
      if (broken) loss = loss + 0.5 * h(x).trace();
      const at::Tensor faded = 0.5 + 0.4 * at::sin(x.select(1, 0));  // any function of x alone
      if (!broken) loss = hessian_loss_antithetic(form, scores, s2, z, levels, faded);
    }
    torch::autograd::backward({loss.sum()});
    return at::cat({a.grad(), slope.grad()}, 1);
  };
  for (Form form : {Form::kProduct, Form::kCentred}) {
    const at::Tensor plain = gradients(form, false, false);
    const auto worst = [&](const at::Tensor& reduced) {  // in standard errors
      const at::Tensor error =
          ((plain.var(0) + reduced.var(0)) / static_cast<double>(kSamples)).sqrt();
      return ((plain.mean(0) - reduced.mean(0)) / error).abs().max().item<double>();
    };
    EXPECT_LT(worst(gradients(form, true, false)), 5) << form_name(form);
    EXPECT_GT(worst(gradients(form, true, true)), 5) << "control";
  }
}

// Exactly 1 where C is near I, exactly 0 where it is not or s2 has run away, and between them in
// between; a function of s2 at the clean x alone.
TEST(HessianLoss, ControlVariateFadesOutWithTheNoisesShare) {
  const auto of = [](double ratio) {  // s2 of a Gaussian of unit variance, σ = ratio
    const at::Tensor a = at::full({1, 5}, -1 / (1 + ratio * ratio), at::kDouble);
    return variate_coefficient(SymmetricOperator::from_diagonal(a),
                               at::full({1}, ratio, at::kDouble))
        .item<double>();
  };
  EXPECT_EQ(of(0.01), 1);
  EXPECT_EQ(of(0.45), 1);
  EXPECT_GT(of(0.65), 0);
  EXPECT_LT(of(0.65), 1);
  EXPECT_EQ(of(0.9), 0);
  const auto wild = SymmetricOperator::from_low_rank(-at::ones({1, 5}, at::kDouble),
                                                     100 * at::ones({1, 5, 1}, at::kDouble));
  EXPECT_EQ(variate_coefficient(wild, at::full({1}, 0.1, at::kDouble)).item<double>(), 0);
}

TEST(SketchLoss, MeanOverTheSketchIsTheFrobeniusDistance) {
  torch::manual_seed(43);
  const at::Tensor a = at::randn({1, 4}, at::kDouble), b = at::randn({1, 4, 2}, at::kDouble);
  const SymmetricOperator s2 = SymmetricOperator::from_low_rank(a, b);
  const at::Tensor j = at::randn({4, 4}, at::kDouble);
  const double exact = 0.5 * (s2.dense()[0] - j).square().sum().item<double>();
  // All 16 sign vectors in place of random ones: E vvᵀ = I exactly.
  double mean = 0;
  for (int k = 0; k < 16; ++k) {
    at::Tensor v = at::ones({1, 4}, at::kDouble);
    for (int i = 0; i < 4; ++i) v[0][i] = (k >> i) & 1 ? 1.0 : -1.0;
    mean += sketch_loss(s2, v, at::matmul(v, j.t())).item<double>() / 16;
  }
  EXPECT_NEAR(mean, exact, 1e-12 * exact);
  EXPECT_THROW(sketch_loss(s2, a, b), std::invalid_argument);
}

// At σ = 0.01 the plain loss's gradient has entries of variance about 2/σ⁴ = 2e8; the pair and the
// control variate leave only what s1 puts in, of order one. A hundredfold is far inside that.
TEST(HessianLoss, VarianceReductionCutsTheGradientsVariance) {
  constexpr int64_t kDim = 3, kSamples = 2000;
  torch::manual_seed(6);
  const double sigma = 0.01;
  const at::Tensor x = at::randn({kSamples, kDim}, at::kDouble), z = at::randn_like(x);
  const at::Tensor levels = at::full({kSamples}, sigma, at::kDouble), noise = sigma * z;
  const auto s1 = [&](const at::Tensor& point) { return -point / (1 + sigma * sigma); };
  for (Form form : {Form::kProduct, Form::kCentred}) {
    const auto variance = [&](bool reduced) {
      const at::Tensor h = at::zeros({kSamples, kDim, kDim}, at::kDouble).requires_grad_();
      const auto op = SymmetricOperator::from_dense(h);
      const at::Tensor loss =
          reduced ? hessian_loss_antithetic(form, at::cat({s1(x + noise), s1(x - noise), s1(x)}),
                                            linalg::concatenate({op, op, op}), z, levels)
                  : hessian_loss(form, s1(x + noise), op, z, levels);
      torch::autograd::backward({loss.sum()});
      return h.grad().var(0).sum().item<double>();
    };
    EXPECT_LT(variance(true), 0.01 * variance(false)) << form_name(form);
  }
}

TEST(HessianLoss, RefusesWrongShapes) {
  const Problem p = make_problem();
  const auto s2 = SymmetricOperator::from_diagonal(p.a);
  EXPECT_THROW(hessian_loss(Form::kCentred, p.s1, s2, p.z, p.sigma.narrow(0, 0, 2)),
               std::invalid_argument);
  EXPECT_THROW(parse_form("centered"), std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::objectives
