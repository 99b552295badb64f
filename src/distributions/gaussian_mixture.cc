#include "scorejet/gaussian_mixture.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "src/base/check.h"

namespace scorejet::distributions {

GaussianMixture::GaussianMixture(const at::Tensor& weights, const at::Tensor& means,
                                 const at::Tensor& covariances)
    : weights_(weights), means_(means) {
  constexpr const char* kWhere = "distributions::GaussianMixture";
  base::check_shape(kWhere, "weights", weights, {-1});
  base::check_shape(kWhere, "means", means, {weights.size(0), -1});
  base::check_shape(kWhere, "covariances", covariances,
                    {weights.size(0), means.size(1), means.size(1)});
  base::check_positive(kWhere, "weights", weights);
  if (std::abs(weights.sum().item<double>() - 1) > 1e-6) {
    base::fail_domain(kWhere, "weights must sum to 1; got {}", weights.sum().item<double>());
  }
  std::tie(eigenvalues_, eigenvectors_) = at::linalg_eigh(covariances);
  if (eigenvalues_.min().item<double>() < -1e-8 * eigenvalues_.max().item<double>()) {
    base::fail_domain(kWhere, "covariances must be positive semi-definite; got eigenvalue {}",
                      eigenvalues_.min().item<double>());
  }
}

std::pair<at::Tensor, at::Tensor> GaussianMixture::components(const at::Tensor& x,
                                                              const at::Tensor& sigma) const {
  const at::Tensor centred = x.unsqueeze(1) - means_;  // [B, K, D]
  // Coordinates along the eigenvectors of C_k, where C_k + σ²I is diagonal.
  const at::Tensor along =
      at::matmul(eigenvectors_.transpose(1, 2), centred.unsqueeze(-1)).squeeze(-1);
  const at::Tensor variance = eigenvalues_ + sigma.square().view({-1, 1, 1});  // [B, K, D]
  const double log_two_pi = std::log(2 * std::numbers::pi);
  const at::Tensor log_joint =
      weights_.log() -
      0.5 * (along.square() / variance + variance.log() + log_two_pi).sum(-1);  // [B, K]
  const at::Tensor gradient =
      -at::matmul(eigenvectors_, (along / variance).unsqueeze(-1)).squeeze(-1);
  return {log_joint, gradient};
}

at::Tensor GaussianMixture::own_numbers(const char* where, const at::Tensor& x) const {
  const at::Tensor points = x.to(means_.scalar_type());
  base::check_like(where, "x", points, "the mixture", means_);
  return points;
}

at::Tensor GaussianMixture::log_density(const at::Tensor& x, const at::Tensor& sigma) const {
  constexpr const char* kWhere = "distributions::GaussianMixture::log_density";
  check(kWhere, x);
  const at::Tensor points = own_numbers(kWhere, x);
  const at::Tensor levels = score::broadcast_sigma(kWhere, points, sigma, true);
  return at::logsumexp(components(points, levels).first, -1).to(x.scalar_type());
}

score::Jet GaussianMixture::evaluate(const at::Tensor& x, const at::Tensor& sigma,
                                     int order) const {
  constexpr const char* kWhere = "distributions::GaussianMixture::evaluate";
  check(kWhere, x, order);
  const at::Tensor points = own_numbers(kWhere, x);
  const at::Tensor levels = score::broadcast_sigma(kWhere, points, sigma, true);
  const auto [log_joint, gradient] = components(points, levels);
  const at::Tensor responsibility = at::softmax(log_joint, -1).unsqueeze(-1);  // [B, K, 1]
  score::Jet jet;
  const at::Tensor s1 = (responsibility * gradient).sum(1);
  jet.s1 = s1.to(x.scalar_type());
  if (order < 2) return jet;
  const at::Tensor centred = gradient - s1.unsqueeze(1);  // ĝ, [B, K, D]
  const at::Tensor weighted = responsibility * centred;
  // One precision a component where sigma is one for all, else one a row too.
  const bool one_for_all = sigma.dim() == 0 && levels.size(0) > 0;
  const at::Tensor distinct = one_for_all ? levels.narrow(0, 0, 1) : levels;
  const at::Tensor variance = eigenvalues_ + distinct.square().view({-1, 1, 1});
  const at::Tensor precision =
      at::matmul(eigenvectors_ / variance.unsqueeze(-2), eigenvectors_.transpose(1, 2))
          .expand({x.size(0), -1, -1, -1});  // [B, K, D, D]
  const at::Tensor mean_precision = (responsibility.unsqueeze(-1) * precision).sum(1);
  const at::Tensor spread = at::matmul(weighted.transpose(1, 2), centred);  // Σ ρ ĝ ĝᵀ
  jet.s2 = linalg::SymmetricOperator::from_dense((spread - mean_precision).to(x.scalar_type()));
  if (order < 3) return jet;
  const at::Tensor product = at::einsum("bkij,bkl->bijl", {precision, weighted});
  const at::Tensor cube = at::einsum("bki,bkj,bkl->bijl", {weighted, centred, centred});
  const at::Tensor third = cube - product - product.transpose(2, 3) - product.transpose(1, 3);
  jet.s3 = linalg::SymmetricTensor::from_dense(third.to(x.scalar_type()));
  return jet;
}

at::Tensor GaussianMixture::sample(int64_t count, at::Generator generator) const {
  if (count == 0) return at::empty({0, dim()}, means_.options());
  const at::Tensor which = at::multinomial(weights_, count, true, generator);
  const at::Tensor noise = at::randn({count, dim()}, generator, means_.options());
  // One component at a time: a factor a row would take count·D² numbers.
  at::Tensor points = at::empty_like(noise);
  for (int64_t k = 0; k < weights_.size(0); ++k) {
    const at::Tensor rows = at::nonzero(which == k).squeeze(-1);
    const at::Tensor root = eigenvectors_[k] * eigenvalues_[k].clamp_min(0).sqrt();
    points.index_copy_(0, rows, means_[k] + at::matmul(noise.index_select(0, rows), root.t()));
  }
  return points;
}

}  // namespace scorejet::distributions
