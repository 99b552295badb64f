#include "scorejet/objectives/sketch.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

namespace scorejet::objectives {
namespace {

using linalg::SymmetricOperator;

double largest(const at::Tensor& x) { return x.abs().max().item<double>(); }

TEST(LeadingVectors, HaveLengthRootDInTheSpanOfTheFactor) {
  torch::manual_seed(3);
  const at::Tensor a = at::randn({5, 30}, at::kDouble);
  const at::Tensor b = at::randn({5, 30, 4}, at::kDouble).requires_grad_();
  const at::Tensor v =
      leading_vectors(SymmetricOperator::from_low_rank(a, b), at::randn({5, 4}, at::kDouble));
  EXPECT_FALSE(v.requires_grad());
  EXPECT_LT(largest(v.square().sum(-1) - 30), 1e-10);
  const at::Tensor basis = std::get<0>(at::linalg_qr(b.detach()));
  const at::Tensor inside =
      at::matmul(basis, at::matmul(basis.transpose(1, 2), v.unsqueeze(-1))).squeeze(-1);
  EXPECT_LT(largest(v - inside), 1e-10);
}

// Columns at right angles of lengths 1 and 16: coefficients along them in the ratio of the square
// roots of the lengths, 1 to 4.
TEST(LeadingVectors, LookAtLargeDirectionsMoreButNotAlone) {
  at::Tensor b = at::zeros({1, 6, 2}, at::kDouble);
  b[0][1][0] = 1;
  b[0][4][1] = 16;
  const auto s2 = SymmetricOperator::from_low_rank(at::zeros({1, 6}, at::kDouble), b);
  const at::Tensor v = leading_vectors(s2, at::ones({1, 2}, at::kDouble))[0].abs();
  EXPECT_NEAR((v[4] / v[1]).item<double>(), 4, 1e-9);
}

TEST(LeadingVectors, OfNothingAreNothing) {
  const at::Tensor a = at::ones({2, 6}, at::kFloat);
  const at::Tensor v =
      leading_vectors(SymmetricOperator::from_low_rank(a, at::zeros({2, 6, 3})), at::randn({2, 3}));
  EXPECT_EQ(largest(v), 0);
  EXPECT_THROW(leading_vectors(SymmetricOperator::from_diagonal(a), at::randn({2, 3})),
               std::invalid_argument);
  EXPECT_THROW(
      leading_vectors(SymmetricOperator::from_low_rank(a, at::zeros({2, 6, 3})), at::randn({2, 4})),
      std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::objectives
