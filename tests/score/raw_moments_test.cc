// Cumulants, raw moments by set partitions and the paper's recursion agree with each other and with
// exact posterior sums on a mixture, to order 4.
#include "scorejet/tweedie.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include "scorejet/gaussian_mixture.h"

namespace scorejet::score {
namespace {

// ∂y/∂x by one backward pass an entry; y [B, ...] row by row a function of x [B, D].
at::Tensor jacobian(const at::Tensor& y, const at::Tensor& x) {
  const at::Tensor flat = y.flatten(1);
  std::vector<at::Tensor> rows;
  for (int64_t i = 0; i < flat.size(1); ++i) {
    rows.push_back(torch::autograd::grad({flat.select(1, i).sum()}, {x}, {}, true, true)[0]);
  }
  std::vector<int64_t> shape = y.sizes().vec();
  shape.push_back(x.size(1));
  return at::stack(rows, 1).view(shape);
}

TEST(SetPartitions, AreBellNumbersMany) {
  const std::vector<size_t> bell{1, 2, 5, 15, 52};
  for (size_t n = 1; n <= bell.size(); ++n) {
    EXPECT_EQ(set_partitions(static_cast<int64_t>(n)).size(), bell[n - 1]);
  }
  EXPECT_THROW(set_partitions(0), std::invalid_argument);
}

// Point masses: the posterior is a discrete distribution, so E[⊗ⁿx | x̃] is a plain sum.
TEST(RawMoments, PartitionsRecursionAndExactSumsAgree) {
  torch::manual_seed(31);
  constexpr int64_t kDim = 2, kPoints = 4, kBatch = 5;
  const at::Tensor weights = at::softmax(at::randn({kPoints}, at::kDouble), 0);
  const at::Tensor means = at::randn({kPoints, kDim}, at::kDouble);
  const distributions::GaussianMixture mixture(weights, means,
                                               at::zeros({kPoints, kDim, kDim}, at::kDouble));
  for (double sigma : {0.4, 1.0}) {
    const at::Tensor levels = at::full({kBatch}, sigma, at::kDouble);
    const at::Tensor x = at::randn({kBatch, kDim}, at::kDouble).requires_grad_();
    std::vector<at::Tensor> scores{mixture.evaluate(x, sigma, 1).s1};
    for (int n = 2; n <= 4; ++n) scores.push_back(jacobian(scores.back(), x));
    const auto cumulants = posterior_cumulants(x, levels, scores);

    const at::Tensor distance = (x.unsqueeze(1) - means).square().sum(-1);
    const at::Tensor rho = at::softmax(weights.log() - distance / (2 * sigma * sigma), -1);
    const std::vector<at::Tensor> exact{
        at::einsum("bk,ki->bi", {rho, means}), at::einsum("bk,ki,kj->bij", {rho, means, means}),
        at::einsum("bk,ki,kj,kl->bijl", {rho, means, means, means}),
        at::einsum("bk,ki,kj,kl,km->bijlm", {rho, means, means, means, means})};
    at::Tensor recursive = exact[0];
    for (size_t n = 1; n <= 4; ++n) {
      const at::Tensor moment = raw_moment({cumulants.begin(), cumulants.begin() + n});
      const double scale = exact[n - 1].abs().max().item<double>();
      EXPECT_LT((moment - exact[n - 1]).abs().max().item<double>(), 1e-10 * scale) << n;
      EXPECT_LT((recursive - exact[n - 1]).abs().max().item<double>(), 1e-10 * scale) << n;
      if (n < 4) {
        recursive = next_raw_moment(recursive, jacobian(recursive, x), x, levels, scores[0]);
      }
    }
  }
}

TEST(GaussianMixture, ThirdOrderIsTheDerivativeOfTheSecond) {
  torch::manual_seed(32);
  const at::Tensor root = at::randn({3, 4, 4}, at::kDouble);
  const distributions::GaussianMixture mixture(at::tensor({0.2, 0.5, 0.3}, at::kDouble),
                                               at::randn({3, 4}, at::kDouble),
                                               root.matmul(root.transpose(1, 2)));
  const at::Tensor x = at::randn({6, 4}, at::kDouble).requires_grad_();
  for (double sigma : {0.0, 0.3}) {
    const at::Tensor s3 = jacobian(mixture.evaluate(x, sigma, 2).s2->dense(), x);
    const at::Tensor error = mixture.evaluate(x, sigma, 3).s3->dense() - s3;
    EXPECT_LT(error.abs().max().item<double>(), 1e-8 * s3.abs().max().item<double>()) << sigma;
  }
}

TEST(RawMoments, RefuseWhatDoesNotFit) {
  const at::Tensor x = at::zeros({2, 3}), sigma = at::ones({2});
  EXPECT_THROW(posterior_cumulants(x, sigma, {x, x}), std::invalid_argument);
  EXPECT_THROW(raw_moment({}), std::invalid_argument);
  EXPECT_THROW(next_raw_moment(x, x, x, sigma, x), std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::score
