// The checkerboard: uniform on the eight squares of side 2 of [-4, 4]² whose column and row,
// counted from the lower left, have an even sum.
#pragma once

#include "src/distributions/planar_density.h"

namespace scorejet::distributions {

// Math: p_σ(x, y) = ⅛ Σ_squares b_i(x) b_j(y), b_i(x) = ½ (Φ((x − l_i)/σ) − Φ((x − l_i − 2)/σ)),
// l_i the square's left end. log b and its derivatives are computed from scaled tails (erfcx), so
// that they stay finite and right far outside the board, where b itself is zero in float64.
// Errors: std::domain_error for sigma = 0, where the density is a step and has no score.
class Checkerboard : public PlanarDensity {
 public:
  at::Tensor sample(int64_t count, at::Generator generator) const override;

 protected:
  int64_t num_terms() const override { return 8; }
  PlanarTerms terms(const at::Tensor& x, const at::Tensor& sigma, int order) const override;
  bool smooth_without_noise() const override { return false; }
};

}  // namespace scorejet::distributions
