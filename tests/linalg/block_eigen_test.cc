// Block eigenpairs of an operator known by its products only, against eigh.
#include "src/linalg/block_eigen.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

namespace scorejet::linalg {
namespace {

// Q diag(values) Qᵀ, one random Q a row. values [B, D].
at::Tensor with_spectrum(const at::Tensor& values) {
  const int64_t dim = values.size(1);
  const at::Tensor q =
      std::get<0>(at::linalg_qr(at::randn({values.size(0), dim, dim}, at::kDouble)));
  return at::matmul(q * values.unsqueeze(1), q.transpose(1, 2));
}

BlockOperator times(const at::Tensor& matrix) {
  return [matrix](const at::Tensor& v) { return at::matmul(v, matrix); };
}

void expect_eigenpairs(const BlockEigenPairs& found, const at::Tensor& matrix, int64_t k,
                       double tolerance) {
  const int64_t dim = matrix.size(1);
  const at::Tensor exact = std::get<0>(at::linalg_eigh(matrix)).narrow(-1, dim - k, k).flip({-1});
  const at::Tensor& vectors = found.pairs.vectors;
  EXPECT_TRUE(found.pairs.converged);
  EXPECT_LT((found.pairs.values - exact).abs().max().item<double>(), tolerance);
  const at::Tensor residual = at::matmul(matrix, vectors) - vectors * exact.unsqueeze(1);
  EXPECT_LT(residual.abs().max().item<double>(), 10 * tolerance);
  const at::Tensor gram = at::matmul(vectors.transpose(1, 2), vectors);
  EXPECT_LT((gram - at::eye(k, at::kDouble)).abs().max().item<double>(), 1e-12);
  EXPECT_TRUE(vectors.equal(fix_signs(vectors)));
}

TEST(BlockEigenpairs, EqualEigh) {
  torch::manual_seed(81);
  // Slowly and quickly falling spectra, and one whose negative end is the larger.
  const at::Tensor index = at::arange(200, at::kDouble);
  for (const at::Tensor& values : {1 / (1 + index), (-0.05 * index).exp(), 1 - 0.03 * index}) {
    const at::Tensor matrix = with_spectrum(values.expand({3, -1}).clone());
    const double scale = values.abs().max().item<double>();
    expect_eigenpairs(top_eigenpairs(times(matrix), 3, 200, 4, at::kCPU,
                                     {.tolerance = 1e-9, .max_iterations = 200}),
                      matrix, 4, 1e-8 * scale);
  }
}

// One vector after the other: as exact, for fewer products than blocks of k need.
TEST(BlockEigenpairs, ANarrowBlockNeedsFewerProducts) {
  torch::manual_seed(86);
  const at::Tensor values = (-0.05 * at::arange(200, at::kDouble)).exp();
  const at::Tensor matrix = with_spectrum(values.expand({3, -1}).clone());
  const BlockEigenOptions wide{.tolerance = 1e-6, .max_iterations = 400};
  BlockEigenOptions narrow = wide;
  narrow.width = 1;
  const auto by_block = top_eigenpairs(times(matrix), 3, 200, 5, at::kCPU, wide);
  const auto one_by_one = top_eigenpairs(times(matrix), 3, 200, 5, at::kCPU, narrow);
  expect_eigenpairs(one_by_one, matrix, 5, 1e-5);
  EXPECT_LT(one_by_one.pairs.steps, 0.75 * static_cast<double>(by_block.pairs.steps));
  narrow.width = 6;
  EXPECT_THROW(top_eigenpairs(times(matrix), 3, 200, 5, at::kCPU, narrow), std::invalid_argument);
}

TEST(BlockEigenpairs, RepeatedEigenvaluesAndInvariantSubspaces) {
  torch::manual_seed(82);
  at::Tensor values = at::full({2, 60}, 0.5, at::kDouble);
  values.narrow(1, 0, 3).fill_(2);  // a triple one above a 57-fold one
  const at::Tensor matrix = with_spectrum(values);
  for (int64_t k : {2, 3, 5}) {
    expect_eigenpairs(top_eigenpairs(times(matrix), 2, 60, k, at::kCPU, {.tolerance = 1e-10}),
                      matrix, k, 1e-9);
  }
}

TEST(BlockEigenpairs, SmallSpacesAreExactAtOnce) {
  torch::manual_seed(83);
  for (int64_t dim : {1, 2, 7, 32, 33, 40}) {
    const at::Tensor matrix = with_spectrum(at::randn({2, dim}, at::kDouble));
    for (int64_t k : {int64_t{1}, (dim + 1) / 2, dim}) {
      const BlockEigenPairs found =
          top_eigenpairs(times(matrix), 2, dim, k, at::kCPU, {.tolerance = 1e-10});
      expect_eigenpairs(found, matrix, k, 1e-9);
      EXPECT_TRUE(dim > 32 || found.iterations == 1);
    }
  }
}

TEST(BlockEigenpairs, ARowDoesNotDependOnTheOthers) {
  torch::manual_seed(84);
  const at::Tensor index = at::arange(100, at::kDouble);
  const at::Tensor easy = with_spectrum((-index).exp().unsqueeze(0));
  const at::Tensor hard = with_spectrum((1 / (1 + 0.1 * index)).unsqueeze(0));
  const auto alone = top_eigenpairs(times(easy), 1, 100, 2, at::kCPU);
  const auto both = top_eigenpairs(times(at::cat({easy, hard})), 2, 100, 2, at::kCPU);
  EXPECT_LT(alone.iterations, both.iterations);
  EXPECT_LT((both.pairs.vectors[0] - alone.pairs.vectors[0]).abs().max().item<double>(), 1e-12);
}

TEST(BlockEigenpairs, ReportsWhatItDidNotReach) {
  torch::manual_seed(85);
  const at::Tensor matrix = with_spectrum(at::rand({1, 100}, at::kDouble));
  const auto found = top_eigenpairs(times(matrix), 1, 100, 3, at::kCPU, {.max_iterations = 2});
  EXPECT_FALSE(found.pairs.converged);
  EXPECT_EQ(found.iterations, 2);
  EXPECT_EQ(found.pairs.steps, 6);  // two blocks of three
  const at::Tensor& v = found.pairs.vectors;
  const at::Tensor residual =
      (at::matmul(matrix, v) - v * found.pairs.values.unsqueeze(1)).square().sum(1).sqrt().max();
  // The norm it is held against is that of the basis: below the true one.
  EXPECT_GE(found.pairs.residual, residual.item<double>());
}

TEST(BlockEigenpairs, RefusesWhatDoesNotFit) {
  const at::Tensor matrix = at::eye(5, at::kDouble).unsqueeze(0);
  EXPECT_THROW(top_eigenpairs(times(matrix), 1, 5, 0, at::kCPU), std::invalid_argument);
  EXPECT_THROW(top_eigenpairs(times(matrix), 1, 5, 6, at::kCPU), std::invalid_argument);
  EXPECT_THROW(top_eigenpairs(times(NAN * matrix), 1, 5, 1, at::kCPU), std::domain_error);
}

}  // namespace
}  // namespace scorejet::linalg
