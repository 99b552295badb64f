#include "src/objectives/sketch.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

namespace scorejet::objectives {
namespace {

using linalg::SymmetricOperator;

double largest(const at::Tensor& x) { return x.abs().max().item<double>(); }

TEST(LeadingVectors, HaveLengthRootDInTheSpanOfTheFactor) {
  torch::manual_seed(3);
  const at::Tensor a = at::randn({5, 30}, at::kDouble);
  const at::Tensor b = at::randn({5, 30, 4}, at::kDouble).requires_grad_();
  const at::Tensor v = leading_vectors(SymmetricOperator::from_low_rank(a, b),
                                       at::randn({5, 3, 4}, at::kDouble), 0.25);
  EXPECT_FALSE(v.requires_grad());
  EXPECT_EQ(v.sizes(), (std::vector<int64_t>{5, 3, 30}));
  EXPECT_LT(largest(v.square().sum(-1) - 30), 1e-10);
  const at::Tensor basis = std::get<0>(at::linalg_qr(b.detach()));
  const at::Tensor inside = at::matmul(at::matmul(v, basis), basis.transpose(1, 2));
  EXPECT_LT(largest(v - inside), 1e-10);
}

// Columns at right angles of lengths 1 and 16: coefficients along them in the ratio of the square
// roots of the lengths, 1 to 4.
TEST(LeadingVectors, LookAtLargeDirectionsMoreTheLessEven) {
  at::Tensor b = at::zeros({1, 6, 2}, at::kDouble);
  b[0][1][0] = 1;
  b[0][4][1] = 16;
  const auto s2 = SymmetricOperator::from_low_rank(at::zeros({1, 6}, at::kDouble), b);
  for (const double evenness : {0.0, 0.25, 0.375, 0.5}) {
    const at::Tensor w = at::ones({1, 1, 2}, at::kDouble);
    const at::Tensor v = leading_vectors(s2, w, evenness)[0][0].abs();
    EXPECT_NEAR((v[4] / v[1]).item<double>(), std::pow(16, 1 - 2 * evenness), 1e-9);
  }
}

TEST(LeadingVectors, OfNothingAreNothing) {
  const at::Tensor a = at::ones({2, 6}, at::kFloat);
  const auto nothing = SymmetricOperator::from_low_rank(a, at::zeros({2, 6, 3}));
  const at::Tensor v = leading_vectors(nothing, at::randn({2, 1, 3}), 0.25), sigma = at::ones({2});
  EXPECT_EQ(largest(v), 0);
  EXPECT_EQ(largest(leading_loss(nothing, v, at::zeros({2, 1, 6}), sigma)), 0);
  const auto diagonal = SymmetricOperator::from_diagonal(a);
  EXPECT_THROW(leading_vectors(diagonal, at::randn({2, 1, 3}), 0.25), std::invalid_argument);
  EXPECT_THROW(leading_vectors(nothing, at::randn({2, 1, 4}), 0.25), std::invalid_argument);
  EXPECT_THROW(leading_loss(diagonal, v, v, sigma), std::invalid_argument);
  EXPECT_THROW(leading_loss(nothing, v, at::zeros({2, 2, 6}), sigma), std::invalid_argument);
  EXPECT_THROW(leading_loss(nothing, v, v, at::ones({3})), std::invalid_argument);
}

// A covariance over σ⁴ of eigenvalues 9, 4, 1, ..., and J = C − 1/σ² at σ = 0.5.
struct Truth {
  at::Tensor turn, values, jacobian;  // [D, D], [D], [D, D]
};

Truth make_truth() {
  torch::manual_seed(5);
  Truth t;
  t.turn = std::get<0>(at::linalg_qr(at::randn({12, 12}, at::kDouble)));
  t.values = at::cat({at::tensor({9.0, 4.0, 1.0}, at::kDouble), at::full({9}, 0.25, at::kDouble)});
  t.jacobian = at::matmul(t.turn * t.values, t.turn.t()) - at::eye(12, at::kDouble) / 0.25;
  return t;
}

// A factor of the leading eigenvectors; as long as any multiple of the roots of their eigenvalues.
TEST(LeadingLoss, IsNothingAtTheLeadingEigenvectorsOfAnySize) {
  const Truth t = make_truth();
  const at::Tensor top = t.turn.narrow(1, 0, 3), w = at::randn({1, 4, 3}, at::kDouble);
  const at::Tensor a = at::randn({1, 12}, at::kDouble), sigma = at::full({1}, 0.5, at::kDouble);
  const auto loss = [&](const at::Tensor& b) {
    const auto s2 = SymmetricOperator::from_low_rank(a, b.unsqueeze(0));
    const at::Tensor v = leading_vectors(s2, w, 0.25);
    return leading_loss(s2, v, at::matmul(v, t.jacobian), sigma).item<double>();
  };
  for (const double size : {0.1, 1.0, 7.0}) {
    EXPECT_LT(std::abs(loss(size * top * t.values.narrow(0, 0, 3).sqrt())), 1e-10) << size;
  }
  EXPECT_GT(loss(top), 0.1) << "the right span, wrong ratios";
  EXPECT_GT(loss(t.turn.narrow(1, 1, 3)), 0.1) << "another span";

  // By hand: one vector, in the plane of the first and the fourth eigenvector.
  const at::Tensor b = t.turn.narrow(1, 0, 1) + t.turn.narrow(1, 3, 1);
  const double across = 12 * 0.25 * std::pow(9 - 0.25, 2);  // |v|² sin² between C v and v, squared
  const auto s2 = SymmetricOperator::from_low_rank(a, b.unsqueeze(0));
  const at::Tensor v = leading_vectors(s2, at::ones({1, 1, 1}, at::kDouble), 0.25);
  EXPECT_NEAR(leading_loss(s2, v, at::matmul(v, t.jacobian), sigma).item<double>(), 0.5 * across,
              1e-9);
}

TEST(LeadingLoss, FindsTheLeadingEigenvectorsAndLeavesTheSizeAndTheDiagonal) {
  const Truth t = make_truth();
  const at::Tensor a = at::randn({1, 12}, at::kDouble).requires_grad_();
  const at::Tensor b = at::randn({1, 12, 3}, at::kDouble).requires_grad_();
  const at::Tensor sigma = at::full({1}, 0.5, at::kDouble);
  for (int step = 0; step < 2000; ++step) {
    const auto s2 = SymmetricOperator::from_low_rank(a, b);
    const at::Tensor v = leading_vectors(s2, at::randn({1, 2, 3}, at::kDouble), 0.25);
    leading_loss(s2, v, at::matmul(v, t.jacobian), sigma).sum().backward();
    EXPECT_FALSE(a.grad().defined());
    at::NoGradGuard no_grad;
    ASSERT_LT(std::abs((b.grad() * b).sum().item<double>()),
              1e-10 * (b.grad().norm() * b.norm()).item<double>() + 1e-12);
    b.sub_(2e-3 * b.grad());
    b.mutable_grad().zero_();
  }
  const at::Tensor found = std::get<0>(at::linalg_svd(b.detach()[0], false));
  const at::Tensor cosines = at::matmul(found.t(), t.turn.narrow(1, 0, 3)).diagonal().abs();
  EXPECT_GT(cosines.min().item<double>(), 0.99);
}

// P v by a solve, differentiated as it stands.
at::Tensor span_loss_plain(const SymmetricOperator& s2, const at::Tensor& v, const at::Tensor& jv,
                           double sigma) {
  const at::Tensor b = s2.factor();
  const at::Tensor coefficients =
      at::linalg_solve(at::matmul(b.transpose(1, 2), b), at::matmul(v, b).transpose(1, 2));
  const at::Tensor inside = at::matmul(b, coefficients).transpose(1, 2);
  const at::Tensor variance = (1 / (sigma * sigma) + s2.diagonal()).detach();
  return -variance.square().sum(-1) / variance.sum(-1) *
         (inside * (v / (sigma * sigma) + jv)).sum(-1).sum(-1);
}

TEST(SpanLoss, EqualsItsFormulaAndGradientAndMovesTheFactorAlone) {
  torch::manual_seed(6);
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    const at::Tensor a = at::rand({3, 20}, type).requires_grad_();
    at::Tensor b = at::randn({3, 20, 4}, type).requires_grad_();
    at::Tensor same = b.detach().to(at::kDouble).requires_grad_();
    const auto s2 = SymmetricOperator::from_low_rank(a, b);
    const at::Tensor v = leading_vectors(s2, at::randn({3, 2, 4}, type), 0.5);
    const at::Tensor jv = at::randn({3, 2, 20}, type);
    const at::Tensor loss = span_loss(s2, v, jv, at::full({3}, 0.5, type));
    const at::Tensor plain =
        span_loss_plain(SymmetricOperator::from_low_rank(a.detach().to(at::kDouble), same),
                        v.to(at::kDouble), jv.to(at::kDouble), 0.5);
    // The ridge is 1e-6 of the trace, a thousandth of the least eigenvalue here.
    const double tolerance = 1e-4;
    EXPECT_LT(largest(loss.detach() - plain.detach()), tolerance * largest(plain.detach()));
    loss.sum().backward();
    plain.sum().backward();
    EXPECT_FALSE(a.grad().defined());
    EXPECT_LT(largest(b.grad() - same.grad()), tolerance * largest(same.grad()));
  }
}

TEST(SpanLoss, IsTheVarianceThatTheSpanHoldsOnAverage) {
  const Truth t = make_truth();
  const at::Tensor a = at::zeros({1, 12}, at::kDouble), b = at::randn({1, 12, 3}, at::kDouble);
  const auto s2 = SymmetricOperator::from_low_rank(a, b);
  const at::Tensor v = leading_vectors(s2, at::randn({1, 40000, 3}, at::kDouble), 0.5);
  const double mean =
      span_loss(s2, v, at::matmul(v, t.jacobian), at::full({1}, 0.5, at::kDouble)).item<double>() /
      40000;
  const at::Tensor basis = std::get<0>(at::linalg_qr(b[0]));
  const at::Tensor covariance = t.jacobian + at::eye(12, at::kDouble) / 0.25;
  const at::Tensor variance = 1 / 0.25 + s2.diagonal();
  const double q = (variance.square().sum() / variance.sum()).item<double>();
  const double held = at::matmul(at::matmul(basis.t(), covariance), basis).trace().item<double>();
  // Of 40,000 vectors the mean is known to 0.5 % (one standard deviation at most 1 of 1).
  EXPECT_NEAR(mean, -q * 12 / 3 * held, 0.02 * q * 12 / 3 * held);
}

// From any span to that of the leading eigenvectors, the third of which has a ninth of the
// variance of the first.
TEST(SpanLoss, FindsTheLeadingSpan) {
  const Truth t = make_truth();
  const at::Tensor a = at::zeros({1, 12}, at::kDouble);
  at::Tensor b = at::randn({1, 12, 3}, at::kDouble).requires_grad_();
  const at::Tensor sigma = at::full({1}, 0.5, at::kDouble);
  for (int step = 0; step < 2000; ++step) {
    const auto s2 = SymmetricOperator::from_low_rank(a, b);
    const at::Tensor v = leading_vectors(s2, at::randn({1, 2, 3}, at::kDouble), 0.5);
    span_loss(s2, v, at::matmul(v, t.jacobian), sigma).sum().backward();
    at::NoGradGuard no_grad;
    b.sub_(2e-3 * b.grad());
    b.mutable_grad().zero_();
  }
  const at::Tensor basis = std::get<0>(at::linalg_qr(b.detach()[0]));
  const at::Tensor held =
      at::matmul(t.turn.narrow(1, 0, 3).t(), basis).square().sum(1);  // of each eigenvector
  EXPECT_GT(held.min().item<double>(), 0.99) << held;
}

TEST(SpanLoss, OfNothingIsNothing) {
  const at::Tensor a = at::ones({2, 6}, at::kFloat), sigma = at::ones({2});
  at::Tensor b = at::zeros({2, 6, 3}).requires_grad_();
  const auto nothing = SymmetricOperator::from_low_rank(a, b);
  const at::Tensor v = leading_vectors(nothing, at::randn({2, 1, 3}), 0.5);
  const at::Tensor loss = span_loss(nothing, v, at::zeros({2, 1, 6}), sigma);
  EXPECT_EQ(largest(loss), 0);
  loss.sum().backward();
  EXPECT_EQ(largest(b.grad()), 0);
  EXPECT_THROW(span_loss(SymmetricOperator::from_diagonal(a), v, v, sigma), std::invalid_argument);
  EXPECT_THROW(span_loss(nothing, v, at::zeros({2, 2, 6}), sigma), std::invalid_argument);
  EXPECT_THROW(span_loss(nothing, v, v, at::ones({3})), std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::objectives
