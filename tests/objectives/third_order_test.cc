// The third-order loss: against the dense form, its minimiser on a mixture with exact s1 and s2,
// and what variance reduction does at σ = 0.05.
#include "src/objectives/third_order.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include "scorejet/gaussian_mixture.h"
#include "tests/linalg/dense_tensors.h"

namespace scorejet::objectives {
namespace {

using linalg::SymmetricOperator;
using linalg::SymmetricTensor;

at::Tensor draw(at::IntArrayRef shape) { return at::randn(shape, at::kDouble); }

TEST(ThirdOrderLoss, EqualsNaiveDenseForm) {
  torch::manual_seed(41);
  constexpr int64_t kBatch = 4, kDim = 5;
  const at::Tensor s1 = draw({kBatch, kDim}), z = draw({kBatch, kDim});
  const at::Tensor sigma = at::tensor({0.05, 0.3, 1.0, 4.0}, at::kDouble);
  const auto s2 = SymmetricOperator::from_low_rank(draw({kBatch, kDim}), draw({kBatch, kDim, 2}));
  const auto low_rank = SymmetricTensor::from_low_rank(draw({kBatch, kDim}), draw({kBatch, 3}),
                                                       draw({kBatch, kDim, 3}));
  const at::Tensor r = z + sigma.unsqueeze(-1) * s1;
  const at::Tensor c = at::eye(kDim, at::kDouble) + sigma.square().view({-1, 1, 1}) * s2.dense();
  const at::Tensor y = (testing::outer_cube(r) - 3 * testing::symmetrised_product(c, r)) /
                       sigma.pow(3).view({-1, 1, 1, 1});
  for (const auto& s3 : {low_rank, SymmetricTensor::from_dense(low_rank.dense())}) {
    const at::Tensor expected = 0.5 * ((s3.dense() + y).square() - y.square()).flatten(1).sum(-1);
    const at::Tensor loss = third_order_loss({s1, s2, s3}, z, sigma);
    // The naive form cancels ½‖Y‖², so it is good to 1e-16 ‖Y‖² only.
    const at::Tensor scale = expected.abs() + 1e-4 * y.square().flatten(1).sum(-1);
    EXPECT_LT(((loss - expected) / scale).abs().max().item<double>(), 1e-10);
  }
  // Diagonal: the same over the entries iii.
  const auto diagonal = SymmetricTensor::from_diagonal(draw({kBatch, kDim}));
  const at::Tensor yd = at::einsum("biii->bi", {y});
  const at::Tensor expected =
      (0.5 * diagonal.diagonal().square() + diagonal.diagonal() * yd).sum(-1);
  const at::Tensor loss = third_order_loss({s1, s2, diagonal}, z, sigma);
  EXPECT_LT(((loss - expected) / expected).abs().max().item<double>(), 1e-9);
}

// s3 of the family is θ T(x) with T the exact s3 of a mixture, so the loss per sample is quadratic
// in θ and its minimiser over many samples is θ = 1.
struct ThirdProblem {
  distributions::GaussianMixture mixture;
  at::Tensor x, z, sigma;
};

ThirdProblem make_third_problem(double sigma, double variance, int64_t samples) {
  torch::manual_seed(42);
  const at::Tensor means = at::tensor({-1.0, -0.5, 1.2, 0.3}, at::kDouble).view({2, 2});
  const at::Tensor covariances = variance * at::eye(2, at::kDouble).expand({2, 2, 2});
  distributions::GaussianMixture mixture(at::tensor({0.35, 0.65}, at::kDouble), means,
                                         covariances.contiguous());
  const at::Tensor x = mixture.sample(samples, at::globalContext().defaultGenerator(at::kCPU));
  return {std::move(mixture), x, at::randn_like(x), at::full({samples}, sigma, at::kDouble)};
}

// Per-sample linear coefficient of θ: −⟨T, target⟩, by the plain or the reduced loss at θ = 1 less
// its quadratic part, and the quadratic coefficient.
struct Coefficients {
  at::Tensor linear, quadratic;  // loss = ½ quadratic θ² + linear θ
};

Coefficients coefficients(const ThirdProblem& p, bool reduced) {
  const auto point = [&](const at::Tensor& x) {
    const score::Jet jet = p.mixture.evaluate(x, p.sigma, 3);
    return ThirdOrderPoint{jet.s1, *jet.s2, *jet.s3};
  };
  const at::Tensor noise = p.sigma.unsqueeze(-1) * p.z;
  const ThirdOrderPoint plus = point(p.x + noise);
  if (!reduced) {
    const at::Tensor quadratic = plus.s3.frobenius_squared();
    return {third_order_loss(plus, p.z, p.sigma) - 0.5 * quadratic, quadratic};
  }
  const ThirdOrderPoint minus = point(p.x - noise);
  const at::Tensor clean = p.x.clone().requires_grad_();
  const score::Jet jet = p.mixture.evaluate(clean, p.sigma, 3);
  const at::Tensor phi = hermite_product(*jet.s3, *jet.s2, p.z, p.sigma);
  const at::Tensor slope =
      (torch::autograd::grad({phi.sum()}, {clean}, {}, false)[0] * p.z).sum(-1);
  const at::Tensor quadratic = 0.5 * (plus.s3.frobenius_squared() + minus.s3.frobenius_squared());
  const at::Tensor loss = third_order_loss_antithetic(
      plus, minus, {jet.s1.detach(), jet.s2->detach(), jet.s3->detach()}, slope, p.z, p.sigma);
  return {loss - 0.5 * quadratic, quadratic};
}

TEST(ThirdOrderLoss, MinimiserIsTheThirdScore) {
  const ThirdProblem p = make_third_problem(0.5, 0.3, 200000);
  for (bool reduced : {false, true}) {
    const Coefficients c = coefficients(p, reduced);
    const double theta = -(c.linear.mean() / c.quadratic.mean()).item<double>();
    const double error = (c.linear.std() / c.quadratic.mean()).item<double>() / std::sqrt(200000);
    EXPECT_LT(std::abs(theta - 1), 5 * error) << reduced;  // five standard errors: below 1e-6
    EXPECT_GT(std::abs(theta - 0.5), 5 * error) << "control";
    EXPECT_LT(error, 0.1);
  }
}

TEST(ThirdOrderLoss, VarianceReductionKeepsItTrainableAtSmallSigma) {
  const ThirdProblem p = make_third_problem(0.05, 1.0, 20000);
  const Coefficients plain = coefficients(p, false), reduced = coefficients(p, true);
  const double ratio = (plain.linear.var() / reduced.linear.var()).item<double>();
  // Terms of order σ⁻³ against order one, whose size depends on the density: about 7500 here.
  EXPECT_GT(ratio, 1000);
}

}  // namespace
}  // namespace scorejet::objectives
