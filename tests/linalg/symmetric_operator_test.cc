// Operators against dense algebra in float64, for each structure.
#include "scorejet/symmetric_operator.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <torch/utils.h>
#include <limits>

namespace scorejet::linalg {
namespace {

std::vector<SymmetricOperator> operators(int64_t batch, int64_t dim) {
  torch::manual_seed(1);
  const at::Tensor m = at::randn({batch, dim, dim}, at::kDouble);
  const at::Tensor a = at::randn({batch, dim}, at::kDouble);
  return {SymmetricOperator::from_dense(m + m.transpose(1, 2)), SymmetricOperator::from_diagonal(a),
          SymmetricOperator::from_low_rank(a, at::randn({batch, dim, 1}, at::kDouble)),
          SymmetricOperator::from_low_rank(a, at::randn({batch, dim, 3}, at::kDouble))};
}

void expect_close(const at::Tensor& a, const at::Tensor& b) {
  EXPECT_LE((a - b).abs().max().item<double>(), 1e-12 * (1 + b.abs().max().item<double>()));
}

TEST(SymmetricOperator, EqualsDenseAlgebra) {
  for (const auto& op : operators(4, 7)) {
    const at::Tensor dense = op.dense();
    const at::Tensor v = at::randn({4, 7}, at::kDouble), block = at::randn({4, 7, 2}, at::kDouble);
    const at::Tensor mv = at::matmul(dense, v.unsqueeze(-1)).squeeze(-1);
    expect_close(dense, dense.transpose(1, 2));
    expect_close(op.apply(v), mv);
    expect_close(op.apply(block), at::matmul(dense, block));
    expect_close(op.diagonal(), dense.diagonal(0, 1, 2));
    expect_close(op.trace(), dense.diagonal(0, 1, 2).sum(-1));
    expect_close(op.frobenius_squared(), dense.square().sum({1, 2}));
    expect_close(op.quadratic_form(v), (v * mv).sum(-1));
    expect_close(op.plus_outer(v).dense(), dense + v.unsqueeze(-1) * v.unsqueeze(1));
    const at::Tensor shift = at::rand({4}, at::kDouble), scale = at::rand({4}, at::kDouble);
    expect_close(op.affine(shift, scale).dense(),
                 shift.view({-1, 1, 1}) * at::eye(7, at::kDouble) + scale.view({-1, 1, 1}) * dense);
    for (const auto& c : operators(4, 7)) {
      const at::Tensor squared = at::matmul(c.dense(), c.dense());
      const at::Tensor exact = (dense * squared).sum({1, 2});
      EXPECT_LE((congruence_trace(op, c) - exact).abs().max().item<double>(),
                1e-11 * (dense.abs() * squared.abs()).sum().item<double>());
    }
    expect_close(concatenate({op.slice(0, 1), op.slice(1, 3)}).dense(), dense);
  }
}

TEST(SymmetricOperator, RefusesWhatDoesNotFit) {
  EXPECT_THROW(SymmetricOperator::from_dense(at::zeros({2, 3, 4})), std::invalid_argument);
  EXPECT_THROW(SymmetricOperator::from_low_rank(at::zeros({2, 3}), at::zeros({2, 4, 1})),
               std::invalid_argument);
  const auto op = SymmetricOperator::from_low_rank(at::zeros({2, 3}), at::zeros({2, 3, 1}));
  EXPECT_THROW(op.apply(at::zeros({3, 3})), std::invalid_argument);
  EXPECT_THROW(op.affine(at::ones({2}), -at::ones({2})), std::domain_error);
}

// Also where finite entries have a sum that is not, or infinite ones would cancel.
TEST(SymmetricOperator, FiniteRowsAreThoseWithoutNaNOrInfinity) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto expect_rows = [](const SymmetricOperator& op, const std::vector<int>& good) {
    const at::Tensor rows = finite_rows(op);
    ASSERT_EQ(rows.size(0), static_cast<int64_t>(good.size()));
    for (size_t i = 0; i < good.size(); ++i) {
      EXPECT_EQ(rows[static_cast<int64_t>(i)].item<bool>(), good[i] != 0) << "row " << i;
    }
  };
  at::Tensor a = at::ones({4, 3}), b = at::ones({4, 3, 2});
  expect_rows(SymmetricOperator::from_low_rank(a, b), {1, 1, 1, 1});
  b[0].fill_(3e38F);
  b[1][0][0] = kInfinity;
  b[1][2][1] = -kInfinity;
  a[3][2] = std::numeric_limits<float>::quiet_NaN();
  expect_rows(SymmetricOperator::from_low_rank(a, b), {1, 0, 1, 0});
  expect_rows(SymmetricOperator::from_diagonal(a), {1, 1, 1, 0});
  at::Tensor m = at::ones({2, 3, 3});
  m[1][1][1] = kInfinity;
  expect_rows(SymmetricOperator::from_dense(m), {1, 0});
}

}  // namespace
}  // namespace scorejet::linalg
