// One Ozaki step on a Gaussian is the exact transition, for every step size and structure.
#include "scorejet/sampling/kernel.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "scorejet/distributions/gaussian_mixture.h"
#include "scorejet/sampling/chains.h"

namespace scorejet::sampling {
namespace {

using linalg::SymmetricOperator;

// H = −diag + small low rank (still negative definite), as dense and as low-rank operators.
struct Target {
  SymmetricOperator dense, low_rank;
};

Target make_target(int64_t chains) {
  torch::manual_seed(8);
  const at::Tensor a = -(2 + 3 * at::rand({1, 6}, at::kDouble)).expand({chains, -1});
  const at::Tensor b = 0.4 * at::randn({1, 6, 2}, at::kDouble).expand({chains, -1, -1});
  const auto low = SymmetricOperator::from_low_rank(a, b);
  return {SymmetricOperator::from_dense(low.dense()), low};
}

TEST(Ozaki, OneStepOnGaussianIsExact) {
  constexpr int64_t kChains = 40000;
  for (double epsilon : {1e-4, 1e-2, 1.0, 10.0}) {
    const Target target = make_target(kChains);
    const at::Tensor h = target.dense.matrix()[0];
    const auto [lambda, q] = at::linalg_eigh(h);
    // Ornstein-Uhlenbeck dX = H X dt + √2 dW: mean e^{εH} x, covariance (e^{2εH} − I) H⁻¹.
    const auto function = [&, q = q](const at::Tensor& f) { return (q * f).matmul(q.t()); };
    const at::Tensor covariance = function(at::expm1(2 * epsilon * lambda) / lambda);
    const at::Tensor x0 = at::ones({6}, at::kDouble);
    const at::Tensor mean = function((epsilon * lambda).exp()).matmul(x0);
    const at::Tensor x = x0.expand({kChains, 6});
    const at::Tensor noise = at::randn({kChains, 6}, at::kDouble);
    at::Tensor previous;
    for (const auto& op : {target.dense, target.low_rank}) {
      const score::Jet jet{op.apply(x), op};
      const Step step =
          find_kernel("ozaki").step({x, jet}, noise, {.step_size = epsilon, .tolerance = 1e-9});
      const at::Tensor deviation = covariance.diagonal().sqrt();
      // Five standard errors for each of 6 means and 36 covariances: false alarms below 3e-5.
      const double bound = 5 / std::sqrt(double{kChains});
      EXPECT_LT(((step.x.mean(0) - mean) / deviation).abs().max().item<double>(), bound);
      const at::Tensor centred = step.x - mean;
      const at::Tensor sample = centred.t().matmul(centred) / double{kChains};
      const at::Tensor scale = deviation.unsqueeze(1) * deviation.unsqueeze(0);
      EXPECT_LT(((sample - covariance) / scale).abs().max().item<double>(), bound * std::sqrt(2.0));
      EXPECT_GT(((1.1 * sample - covariance) / scale).abs().max().item<double>(),
                bound * std::sqrt(2.0))
          << "a biased control must fail";
      EXPECT_FALSE(step.info.bounded.any().item<bool>());
      if (previous.defined()) {
        EXPECT_LT((step.x - previous).abs().max().item<double>(), 1e-6);
      }
      previous = step.x;
    }
  }
}

TEST(Ozaki, TendsToLangevinAndReportsItsBound) {
  const Target target = make_target(4);
  const at::Tensor x = at::randn({4, 6}, at::kDouble), noise = at::randn({4, 6}, at::kDouble);
  const ChainState state{x, {target.dense.apply(x), target.low_rank}};
  const KernelOptions tiny{.step_size = 1e-8, .tolerance = 1e-10};
  const at::Tensor difference = find_kernel("ozaki").step(state, noise, tiny).x -
                                find_kernel("langevin").step(state, noise, tiny).x;
  EXPECT_LT(difference.abs().max().item<double>(), 1e-10);  // O(ε^{3/2})
  const auto positive = SymmetricOperator::from_diagonal(at::full({4, 6}, 50.0, at::kDouble));
  const Step step = find_kernel("ozaki").step({x, {x, positive}}, noise, {.step_size = 1.0});
  EXPECT_TRUE(step.info.bounded.all().item<bool>());
  EXPECT_TRUE(at::isfinite(step.x).all().item<bool>());
  EXPECT_THROW(find_kernel("ozaky"), std::invalid_argument);
}

TEST(Chains, CourseOfAChainDoesNotDependOnItsNeighbours) {
  const distributions::GaussianMixture target(at::ones({1}), at::zeros({1, 2}),
                                              at::eye(2).unsqueeze(0));
  const at::Tensor x0 = at::randn({5, 2});
  const ChainOptions options{.num_steps = 10, .thin = 5, .seed = 3};
  const KernelOptions kernel_options{.step_size = 0.1, .sigma = 0.1};
  for (const Kernel& kernel : kernels()) {
    const auto all = run_chains(target, kernel, x0, kernel_options, options);
    const auto few = run_chains(target, kernel, x0.narrow(0, 0, 2), kernel_options, options);
    EXPECT_EQ(all.positions.sizes(), at::IntArrayRef({5, 3, 2}));
    EXPECT_TRUE(at::allclose(all.positions.narrow(0, 0, 2), few.positions, 1e-5, 1e-6));
    EXPECT_EQ(all.diverged_at.max().item<int64_t>(), -1);
  }
  at::Tensor bad = x0.clone();
  bad[3][0] = std::nan("");
  EXPECT_THROW(run_chains(target, kernels()[0], bad, kernel_options, options), std::domain_error);
  EXPECT_THROW(run_chains(target, kernels()[0], x0, {.step_size = -1}, options), std::domain_error);
}

}  // namespace
}  // namespace scorejet::sampling
