// Lanczos eigenpairs and matrix functions against eigh, breakdown and repeated eigenvalues
// included.
#include "src/linalg/lanczos.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "src/linalg/matrix_function.h"

namespace scorejet::linalg {
namespace {

double relative(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

TEST(TopEigenpairs, EqualEigh) {
  torch::manual_seed(2);
  const auto op = SymmetricOperator::from_low_rank(at::rand({3, 60}, at::kDouble),
                                                   2 * at::randn({3, 60, 4}, at::kDouble));
  const EigenPairs pairs = top_eigenpairs(op, 6, {.tolerance = 1e-10});
  const at::Tensor exact = std::get<0>(at::linalg_eigh(op.dense())).narrow(-1, 54, 6).flip({-1});
  EXPECT_TRUE(pairs.converged);
  EXPECT_LT(relative(pairs.values, exact), 1e-9);
  EXPECT_LT(relative(op.apply(pairs.vectors), pairs.vectors * pairs.values.unsqueeze(1)), 1e-8);
  const at::Tensor gram = at::matmul(pairs.vectors.transpose(1, 2), pairs.vectors);
  EXPECT_LT((gram - at::eye(6, at::kDouble)).abs().max().item<double>(), 1e-9);
}

TEST(TopEigenpairs, RepeatedEigenvaluesAndBreakdown) {
  // 2I + 5 e1 e1ᵀ has two distinct eigenvalues: the Krylov space breaks down after two vectors.
  at::Tensor factor = at::zeros({1, 10, 1}, at::kDouble);
  factor[0][0][0] = std::sqrt(5.0);
  const auto op = SymmetricOperator::from_low_rank(at::full({1, 10}, 2.0, at::kDouble), factor);
  const EigenPairs pairs = top_eigenpairs(op, 3);
  EXPECT_NEAR(pairs.values[0][0].item<double>(), 7, 1e-9);
  EXPECT_NEAR(pairs.values[0][1].item<double>(), 2, 1e-9);
  EXPECT_NEAR(pairs.values[0][2].item<double>(), 2, 1e-9);
  EXPECT_THROW(top_eigenpairs(op, 11), std::invalid_argument);
}

struct Case {
  const char* name;
  int64_t dim, rank, k;
  double spread;  // of the diagonal
};

// Where Lanczos on a row alone is at its limits: no spread at all (r + 1 distinct eigenvalues),
// more pairs than the rank lifts, all of them.
TEST(TopEigenpairs, EqualEighInEveryShape) {
  torch::manual_seed(5);
  for (const Case& c : {Case{"image", 300, 20, 5, 0.3}, Case{"rank 1", 90, 1, 3, 1.0},
                        Case{"constant diagonal", 70, 4, 3, 0.0},
                        Case{"constant diagonal, more than the rank", 70, 4, 7, 0.0},
                        Case{"more than the rank", 120, 3, 8, 1.0}, Case{"all", 12, 3, 12, 1.0},
                        Case{"negative", 80, 5, 4, -2.0}}) {
    const at::Tensor a = 0.2 + c.spread * at::rand({4, c.dim}, at::kDouble);
    const at::Tensor f = 2 * at::randn({4, c.rank, c.dim}, at::kDouble).transpose(1, 2) /
                         std::sqrt(static_cast<double>(c.dim));
    for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
      const bool wide = type == at::kDouble;
      const auto op = SymmetricOperator::from_low_rank(a.to(type), f.to(type));
      const EigenPairs pairs = top_eigenpairs(op, c.k, {.tolerance = wide ? 1e-9 : 1e-5});
      EXPECT_TRUE(pairs.converged) << c.name << " " << pairs.residual;
      const auto eigh = at::linalg_eigh(op.dense().to(at::kDouble));
      const at::Tensor exact = std::get<0>(eigh).narrow(-1, c.dim - c.k, c.k).flip({-1});
      const at::Tensor values = pairs.values.to(at::kDouble);
      const at::Tensor v = pairs.vectors.to(at::kDouble);
      const double scale = std::get<0>(eigh).abs().max().item<double>();
      const double bound = (wide ? 1e-8 : 5e-5) * scale;
      EXPECT_LT((values - exact).abs().max().item<double>(), bound) << c.name;
      const at::Tensor image = at::matmul(op.dense().to(at::kDouble), v);
      EXPECT_LT((image - v * values.unsqueeze(1)).norm(2, 1).max().item<double>(), bound) << c.name;
      const at::Tensor gram = at::matmul(v.transpose(1, 2), v) - at::eye(c.k, at::kDouble);
      EXPECT_LT(gram.abs().max().item<double>(), wide ? 1e-9 : 1e-4) << c.name;
    }
  }
}

TEST(TopEigenpairs, RowsDoNotDependOnTheirBatch) {
  torch::manual_seed(6);
  at::Tensor a = at::rand({5, 200});
  a[2].fill_(0.5);  // breaks down
  a[3].mul_(100);   // takes longer
  const auto op = SymmetricOperator::from_low_rank(a, at::randn({5, 200, 6}));
  const EigenPairs all = top_eigenpairs(op, 8);
  for (int64_t row = 0; row < 5; ++row) {
    const EigenPairs one = top_eigenpairs(op.slice(row, 1), 8);
    EXPECT_TRUE(one.values[0].equal(all.values[row])) << row;
    EXPECT_TRUE(one.vectors[0].equal(all.vectors[row])) << row;
  }
}

TEST(TopEigenpairs, OfADiagonalAreItsLargestEntries) {
  const auto op =
      SymmetricOperator::from_diagonal(at::tensor({1.0F, 3.0F, -5.0F, 3.0F}).unsqueeze(0));
  const EigenPairs pairs = top_eigenpairs(op, 3);
  EXPECT_TRUE(pairs.values.equal(at::tensor({3.0F, 3.0F, 1.0F}).unsqueeze(0)));
  EXPECT_TRUE(op.apply(pairs.vectors).equal(pairs.vectors * pairs.values.unsqueeze(1)));
  EXPECT_TRUE(at::matmul(pairs.vectors.transpose(1, 2), pairs.vectors)[0].equal(at::eye(3)));
}

// What is not reached is said.
TEST(TopEigenpairs, SaysThatItDidNotConverge) {
  torch::manual_seed(7);
  const auto op =
      SymmetricOperator::from_low_rank(at::rand({2, 400}), 0.01 * at::randn({2, 400, 3}));
  const EigenPairs pairs = top_eigenpairs(op, 4, {.tolerance = 1e-12, .max_steps = 12});
  EXPECT_FALSE(pairs.converged);
  EXPECT_EQ(pairs.steps, 12);
  EXPECT_GT(pairs.residual, 1e-6);
}

TEST(MatrixFunction, Phi1IsFiniteAndAccurate) {
  const at::Tensor t = at::tensor({0.0, 1e-300, 1e-9, -1e-9, 1.0, -50.0, -1e5}, at::kDouble);
  const at::Tensor expected =
      at::tensor({1.0, 1.0, 1 + 5e-10, 1 - 5e-10, std::expm1(1.0), 0.02, 1e-5}, at::kDouble);
  EXPECT_LT((phi1(t) - expected).abs().max().item<double>(), 1e-12);
}

TEST(MatrixFunction, LanczosEqualsEigh) {
  torch::manual_seed(3);
  for (double scale : {1e-4, 1.0, 1e3}) {
    const auto op = SymmetricOperator::from_low_rank(-scale * at::rand({5, 80}, at::kDouble),
                                                     0.3 * at::randn({5, 80, 5}, at::kDouble));
    const auto dense = SymmetricOperator::from_dense(op.dense());
    const ScalarFunction drift = [](const at::Tensor& x) { return phi1(0.1 * x); };
    const ScalarFunction root = [](const at::Tensor& x) { return phi1(0.2 * x).sqrt(); };
    const at::Tensor v = at::randn({5, 80, 2}, at::kDouble);
    const auto krylov = apply_functions(op, {drift, root}, v, {.tolerance = 1e-8});
    EXPECT_TRUE(krylov.converged);
    EXPECT_LT(relative(krylov.values, apply_functions(dense, {drift, root}, v).values), 1e-6);
  }
}

TEST(MatrixFunction, ZeroVectorAndDiagonal) {
  const auto low = SymmetricOperator::from_low_rank(-at::rand({2, 9}), at::randn({2, 9, 2}));
  EXPECT_EQ(apply_functions(low, {phi1}, at::zeros({2, 9, 1})).values.abs().max().item<float>(), 0);
  const auto diagonal =
      SymmetricOperator::from_diagonal(at::tensor({-1.0, -2.0}, at::kDouble).unsqueeze(0));
  const at::Tensor value =
      apply_functions(diagonal, {phi1}, at::ones({1, 2, 1}, at::kDouble)).values;
  EXPECT_NEAR(value[0][1][0].item<double>(), (1 - std::exp(-2.0)) / 2, 1e-14);
}

}  // namespace
}  // namespace scorejet::linalg
