// A⁻¹ and log det A of a batch of positive definite operators, at the cost of their structure.
// Add the factorisation of a new structure here.
#pragma once

#include <ATen/core/Tensor.h>

#include "scorejet/symmetric_operator.h"

namespace scorejet::linalg {

// Math: dense by Cholesky. Low rank, A = diag(d) + F Fᵀ with W = d^{−1/2} F: Cholesky of the r × r
// matrix C = I + WᵀW, whose eigenvalues are >= 1; A⁻¹ = d^{−1/2} (I − W C⁻¹ Wᵀ) d^{−1/2}
// (Woodbury), log det A = Σ log d + log det C. Worked in float64 whatever the operator's type: the
// subtraction loses log₁₀ of (largest eigenvalue / least d) digits.
// A value: copying shares the tensors.
class Factorisation {
 public:
  // Errors: std::domain_error, naming the row, for NaN, infinity, or an operator that is not
  // positive definite; low rank needs d > 0, which is more than that. Cost: O(B D r²); dense
  // O(B D³).
  explicit Factorisation(const SymmetricOperator& op);

  at::Tensor solve(const at::Tensor& v) const;  // A⁻¹ v; v [B, D] or [B, D, k], in v's type
  at::Tensor log_determinant() const;           // [B], float64
  // vᵀ A⁻¹ v, v [B, D] -> [B], float64. Low rank: min_z ‖y − W z‖² + ‖z‖² with y = d^{−1/2} v, a
  // sum of squares, so that nothing cancels and it is never negative.
  at::Tensor quadratic(const at::Tensor& v) const;

 private:
  at::Tensor root_;      // √d, [B, D]; undefined for dense
  at::Tensor scaled_;    // W, [B, D, r]; undefined unless low rank
  at::Tensor cholesky_;  // lower, of A (dense) or of C (low rank); undefined for diagonal
};

}  // namespace scorejet::linalg
