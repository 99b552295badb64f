// A mixture of Gaussians with any covariances: exact scores of its noisy density, exact posteriors.
// One component is a plain Gaussian. The oracle that estimates are held against.
#pragma once

#include <utility>

#include "scorejet/distribution.h"

namespace scorejet::distributions {

class GaussianMixture : public Distribution {
 public:
  // weights [K] (positive, sum 1), means [K, D], covariances [K, D, D] (symmetric, positive
  // semi-definite). Errors: std::invalid_argument for shapes; std::domain_error for values.
  GaussianMixture(const at::Tensor& weights, const at::Tensor& means,
                  const at::Tensor& covariances);

  int64_t dim() const override { return means_.size(1); }

  // Computed in the mixture's own type of numbers, whatever that of x.
  // Exact jet of log Σ w_k N(x; μ_k, C_k + σ²I); sigma = 0 is allowed for regular C_k.
  // Math: s1 = Σ ρ_k g_k, s2 = Σ ρ_k (ĝ_k ĝ_kᵀ − P_k), s3 = Σ ρ_k (ĝ_k⊗ĝ_k⊗ĝ_k − 3 sym(P_k⊗ĝ_k))
  // with responsibilities ρ, P_k = (C_k + σ²I)⁻¹, g_k = −P_k (x − μ_k), ĝ_k = g_k − s1. s2, s3 are
  // dense.
  using ScoreField::evaluate;
  score::Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const override;

  at::Tensor log_density(const at::Tensor& x, const at::Tensor& sigma) const override;
  at::Tensor sample(int64_t count, at::Generator generator) const override;

 private:
  // x in the type of numbers that the mixture has. Errors: std::invalid_argument for a device.
  at::Tensor own_numbers(const char* where, const at::Tensor& x) const;
  // log(w_k N(x; μ_k, C_k + σ²I)) [B, K], and the g_k [B, K, D].
  std::pair<at::Tensor, at::Tensor> components(const at::Tensor& x, const at::Tensor& sigma) const;

  at::Tensor weights_, means_;
  at::Tensor eigenvalues_, eigenvectors_;  // of the covariances: [K, D], [K, D, D]
};

}  // namespace scorejet::distributions
