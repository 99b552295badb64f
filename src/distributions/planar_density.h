// Densities of the plane whose noisy version is a sum, p_sigma = Σ_k exp h_k(x): Gaussians at
// quadrature nodes, boxes, values of a latent. A derived class writes the h_k and their derivatives
// down; the jet of the sum is here.
#pragma once

#include <array>

#include "scorejet/distribution.h"

namespace scorejet::distributions {

// The h_k of a batch of B points (x, y) and their partial derivatives up to the order asked for.
// Each broadcasts to [B, K]; an undefined one is zero.
struct PlanarTerms {
  at::Tensor value;
  std::array<at::Tensor, 2> first = {};   // x, y
  std::array<at::Tensor, 3> second = {};  // xx, xy, yy
  std::array<at::Tensor, 4> third = {};   // xxx, xxy, xyy, yyy
};

class PlanarDensity : public Distribution {
 public:
  int64_t dim() const override { return 2; }

  // Computed in float64, whatever the dtype of x, a few rows at a time; s2, s3 are dense.
  // Math: with ρ_k = exp h_k / p, g_k = ∇h_k, ĝ_k = g_k − s1 (Louis 1982):
  //   s1 = Σ ρ_k g_k,  s2 = Σ ρ_k (∇²h_k + ĝ_k ĝ_kᵀ),
  //   s3 = Σ ρ_k (∇³h_k + 3 sym(∇²h_k ⊗ ĝ_k) + ĝ_k⊗ĝ_k⊗ĝ_k).
  // Errors: as ScoreField; std::domain_error for sigma = 0 where the clean density has no score.
  using ScoreField::evaluate;
  score::Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const override;

  at::Tensor log_density(const at::Tensor& x, const at::Tensor& sigma) const override;

 protected:
  virtual int64_t num_terms() const = 0;  // K
  // x [B, 2] and sigma [B], float64. Order 0 is the value alone; `value` is differentiable in x.
  virtual PlanarTerms terms(const at::Tensor& x, const at::Tensor& sigma, int order) const = 0;
  virtual bool smooth_without_noise() const { return true; }

 private:
  at::Tensor checked_sigma(const char* where, const at::Tensor& x, const at::Tensor& sigma) const;
};

}  // namespace scorejet::distributions
