// Tweedie's mean and covariance on a Gaussian mixture against exact posterior sums.
#include "scorejet/tweedie.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include "scorejet/gaussian_mixture.h"
#include "tests/linalg/dense_tensors.h"

namespace scorejet::score {
namespace {

TEST(Tweedie, EqualsExactPosteriorOfMixture) {
  torch::manual_seed(6);
  constexpr int64_t kDim = 3, kComponents = 4, kBatch = 10;
  const at::Tensor weights = at::softmax(at::randn({kComponents}, at::kDouble), 0);
  const at::Tensor means = 2 * at::randn({kComponents, kDim}, at::kDouble);
  const at::Tensor root = at::randn({kComponents, kDim, kDim}, at::kDouble);
  const at::Tensor covariances = root.matmul(root.transpose(1, 2));
  const distributions::GaussianMixture mixture(weights, means, covariances);
  const at::Tensor x = 2 * at::randn({kBatch, kDim}, at::kDouble);
  for (double sigma : {0.01, 0.5, 3.0}) {
    const at::Tensor levels = at::full({kBatch}, sigma, at::kDouble);
    const score::Jet jet = mixture.evaluate(x, sigma, 2);
    // Given component k the posterior is Gaussian: gain K = C (C + σ²I)⁻¹, mean μ + K(x̃ − μ),
    // covariance C − K C; the mixture's moments are sums over responsibilities.
    const at::Tensor noisy = covariances + sigma * sigma * at::eye(kDim, at::kDouble);
    const at::Tensor gain = covariances.matmul(at::linalg_inv(noisy));
    const at::Tensor centred = (x.unsqueeze(1) - means).unsqueeze(-1);
    const at::Tensor quadratic =
        centred.transpose(-1, -2).matmul(at::linalg_inv(noisy)).matmul(centred).flatten(1);
    const at::Tensor log_joint =
        weights.log() - 0.5 * quadratic - 0.5 * at::linalg_det(noisy).log();
    const at::Tensor rho = at::softmax(log_joint, -1).unsqueeze(-1);
    const at::Tensor m = means + gain.matmul(centred).squeeze(-1);  // [B, K, D]
    const at::Tensor mean = (rho * m).sum(1);
    const at::Tensor second =
        (rho.unsqueeze(-1) * (covariances - gain.matmul(covariances))).sum(1) +
        (rho * m).transpose(1, 2).matmul(m);
    const at::Tensor covariance = second - mean.unsqueeze(-1) * mean.unsqueeze(1);
    EXPECT_LT((posterior_mean(x, levels, jet.s1) - mean).abs().max().item<double>(), 1e-8);
    const at::Tensor dense = posterior_covariance(levels, *jet.s2).dense();
    // σ² + σ⁴ s2 cancels: relative to σ² the rounding of s2 is amplified, hence the tolerance.
    EXPECT_LT((dense - covariance).abs().max().item<double>(), 1e-7);
    // κ3 = Σ ρ [d³ + 3 sym((C − K C) ⊗ d)], d = m − mean.
    const at::Tensor d = (m - mean.unsqueeze(1)).flatten(0, 1);
    const at::Tensor spread = (covariances - gain.matmul(covariances))
                                  .expand({kBatch, kComponents, kDim, kDim})
                                  .flatten(0, 1);
    const at::Tensor terms = testing::outer_cube(d) + 3 * testing::symmetrised_product(spread, d);
    const at::Tensor cumulant =
        (rho.view({-1, 1, 1, 1}) * terms).view({kBatch, kComponents, kDim, kDim, kDim}).sum(1);
    const at::Tensor third =
        posterior_third_cumulant(levels, *mixture.evaluate(x, sigma, 3).s3).dense();
    EXPECT_LT((third - cumulant).abs().max().item<double>(), 1e-7 * std::max(1.0, sigma));
    EXPECT_GT((2 * third - cumulant).abs().max().item<double>(), 1e-12) << "control";
  }
}

TEST(GaussianMixture, ScoresAreDerivativesOfLogDensity) {
  torch::manual_seed(7);
  const at::Tensor root = at::randn({2, 3, 3}, at::kDouble);
  const distributions::GaussianMixture mixture(at::tensor({0.3, 0.7}, at::kDouble),
                                               at::randn({2, 3}, at::kDouble),
                                               root.matmul(root.transpose(1, 2)));
  const at::Tensor x = at::randn({5, 3}, at::kDouble).requires_grad_();
  const at::Tensor sigma = at::full({5}, 0.4, at::kDouble);
  const at::Tensor gradient =
      torch::autograd::grad({mixture.log_density(x, sigma).sum()}, {x}, {}, true, true)[0];
  const score::Jet jet = mixture.evaluate(x, sigma, 2);
  EXPECT_LT((jet.s1 - gradient).abs().max().item<double>(), 1e-10);
  for (int64_t i = 0; i < 3; ++i) {
    const at::Tensor row = torch::autograd::grad({gradient.select(1, i).sum()}, {x}, {}, true)[0];
    EXPECT_LT((jet.s2->dense().select(1, i) - row).abs().max().item<double>(), 1e-9);
  }
}

}  // namespace
}  // namespace scorejet::score
