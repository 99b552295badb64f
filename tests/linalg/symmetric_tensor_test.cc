// Third-order tensors of every structure against dense D³ algebra, float64.
#include "scorejet/symmetric_tensor.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "tests/linalg/dense_tensors.h"
#include "tests/scratch.h"

namespace scorejet::linalg {
namespace {

constexpr int64_t kBatch = 3, kDim = 5, kRank = 4;

at::Tensor draw(at::IntArrayRef shape) { return at::randn(shape, at::kDouble); }

// One of each structure, with its dense form built entry by entry.
std::vector<std::pair<SymmetricTensor, at::Tensor>> examples() {
  torch::manual_seed(21);
  const at::Tensor c = draw({kBatch, kDim}), gamma = draw({kBatch, kRank}),
                   w = draw({kBatch, kDim, kRank});
  at::Tensor diagonal = at::zeros({kBatch, kDim, kDim, kDim}, at::kDouble);
  for (int64_t i = 0; i < kDim; ++i) {
    diagonal.select(1, i).select(1, i).select(1, i).copy_(c.select(1, i));
  }
  at::Tensor cp = diagonal.clone();
  for (int64_t j = 0; j < kRank; ++j) {
    cp += gamma.select(1, j).view({-1, 1, 1, 1}) * testing::outer_cube(w.select(2, j));
  }
  const at::Tensor full =
      testing::symmetrised_product(draw({kBatch, kDim, kDim}), draw({kBatch, kDim})) + cp;
  const at::Tensor symmetric =
      (full + full.permute({0, 2, 1, 3}) + full.permute({0, 3, 2, 1}) + full.permute({0, 1, 3, 2}) +
       full.permute({0, 2, 3, 1}) + full.permute({0, 3, 1, 2})) /
      6;
  return {{SymmetricTensor::from_dense(symmetric), symmetric},
          {SymmetricTensor::from_diagonal(c), diagonal},
          {SymmetricTensor::from_low_rank(c, gamma, w), cp}};
}

void expect_equal(const at::Tensor& a, const at::Tensor& b) {
  ASSERT_EQ(a.sizes(), b.sizes());
  EXPECT_LT((a - b).abs().max().item<double>(), 1e-11 * (1 + b.abs().max().item<double>()));
}

TEST(SymmetricTensor, EqualsDenseAlgebra) {
  for (const auto& [tensor, dense] : examples()) {
    SCOPED_TRACE(structure_name(tensor.structure()));
    const at::Tensor v = draw({kBatch, kDim});
    expect_equal(tensor.dense(), dense);
    expect_equal(tensor.diagonal(), at::einsum("biii->bi", {dense}));
    expect_equal(tensor.frobenius_squared(), dense.square().flatten(1).sum(1));
    expect_equal(tensor.apply(v), at::einsum("bikl,bk,bl->bi", {dense, v, v}));
    expect_equal(tensor.cubic_form(v), at::einsum("bikl,bi,bk,bl->b", {dense, v, v, v}));
    const at::Tensor diagonal = draw({kBatch, kDim}), factor = draw({kBatch, kDim, 2});
    for (const auto& a : {SymmetricOperator::from_diagonal(diagonal),
                          SymmetricOperator::from_low_rank(diagonal, factor),
                          SymmetricOperator::from_dense(
                              SymmetricOperator::from_low_rank(diagonal, factor).dense())}) {
      const at::Tensor product = testing::symmetrised_product(a.dense(), v);
      expect_equal(tensor.inner(a, v), (dense * product).flatten(1).sum(1));
      const at::Tensor square = testing::symmetrised_product(a.dense().matmul(a.dense()), v);
      expect_equal(tensor.inner_square(a, v), (dense * square).flatten(1).sum(1));
    }
    expect_equal(tensor.slice(1, 2).dense(), dense.narrow(0, 1, 2));
    const at::Tensor scale = at::tensor({-2.0, 0.0, 3.0}, at::kDouble);
    expect_equal(tensor.scaled(scale).dense(), scale.view({-1, 1, 1, 1}) * dense);
  }
}

TEST(SymmetricTensor, RefusesWhatDoesNotFit) {
  EXPECT_THROW(SymmetricTensor::from_dense(draw({2, 3, 3, 4})), std::invalid_argument);
  EXPECT_THROW(SymmetricTensor::from_low_rank(draw({2, 3}), draw({2, 4}), draw({2, 3, 5})),
               std::invalid_argument);
  const auto diagonal = SymmetricTensor::from_diagonal(draw({2, 3}));
  EXPECT_THROW(diagonal.factor(), std::logic_error);
  EXPECT_THROW(diagonal.apply(draw({2, 4})), std::invalid_argument);
  EXPECT_THROW(diagonal.scaled(draw({3})), std::invalid_argument);
  EXPECT_THROW(diagonal.inner_square(SymmetricOperator::from_diagonal(draw({2, 3})), draw({3, 3})),
               std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::linalg
