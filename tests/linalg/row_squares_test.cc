// Squared lengths of rows: the one-pass kernels against tensor operations in float64.
#include "src/linalg/row_squares.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include <limits>
#include <vector>

namespace scorejet::linalg {
namespace {

// Sums of at most 70 squares: 1e-5 is a hundred roundings of one.
TEST(RowSquares, EqualThePlainFormInEveryLayout) {
  torch::manual_seed(51);
  for (const auto& [n, dim, rank] : std::vector<std::tuple<int64_t, int64_t, int64_t>>{
           {1, 1, 1}, {2, 7, 3}, {3, 64, 1}, {2, 131, 20}, {5, 100, 70}, {1, 300, 17}}) {
    const at::Tensor rows = at::randn({n, dim, rank});
    const at::Tensor columns = at::randn({n, rank, dim}).transpose(1, 2);
    const at::Tensor neither = at::randn({n, dim, 2 * rank}).slice(2, 0, 2 * rank, 2);
    for (const at::Tensor& factor : {rows, columns, neither}) {
      const at::Tensor exact = row_squares_plain(factor.to(at::kDouble));
      const at::Tensor found = row_squares(factor);
      EXPECT_EQ(found.sizes(), exact.sizes());
      EXPECT_LT(((found - exact).abs() / exact).max().item<double>(), 1e-5);
    }
  }
  EXPECT_EQ(row_squares(at::empty({2, 3, 0})).abs().max().item<double>(), 0);
  EXPECT_EQ(row_squares(at::empty({0, 3, 2})).sizes(), (std::vector<int64_t>{0, 3}));
}

TEST(RowSquares, KeepNaNInfinityAndGradients) {
  at::Tensor factor = at::ones({1, 40, 3});
  factor[0][5][1] = std::numeric_limits<float>::quiet_NaN();
  factor[0][36][2] = -std::numeric_limits<float>::infinity();
  const at::Tensor found = row_squares(factor.transpose(1, 2).contiguous().transpose(1, 2));
  EXPECT_TRUE(found[0][5].isnan().item<bool>());
  EXPECT_TRUE(found[0][36].isinf().item<bool>());
  EXPECT_EQ(at::isfinite(found).sum().item<int64_t>(), 38);

  at::Tensor learned = at::randn({2, 5, 3}).requires_grad_();
  torch::autograd::backward({row_squares(learned).sum()});
  EXPECT_LT((learned.grad() - 2 * learned.detach()).abs().max().item<double>(), 1e-6);
}

}  // namespace
}  // namespace scorejet::linalg
