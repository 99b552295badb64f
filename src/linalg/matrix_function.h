// f(A) v for a batch of symmetric operators: elementwise when diagonal, eigh when dense or small,
// Lanczos when low rank. Change which of them is taken here; the Krylov form's stopping rule is in
// krylov_function.{h,cc}.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "scorejet/symmetric_operator.h"

namespace scorejet::linalg {

// φ₁(t) = (eᵗ − 1)/t, φ₁(0) = 1: the exponential integrator's function, finite everywhere.
at::Tensor phi1(const at::Tensor& t);

// Maps eigenvalues [B, m] to f(eigenvalues), elementwise; row b is chain b's, so a constant a chain
// is a [B, 1] tensor that broadcasts. The eigenvalues come in float64 whatever the operator's type:
// e²⁰⁰ overflows float32. Called a few times, and also on values that are no eigenvalues (rows that
// have converged: 0).
using ScalarFunction = std::function<at::Tensor(const at::Tensor&)>;

struct MatrixFunctionOptions {
  double tolerance = 1e-6;  // of the Krylov form: error relative to ‖f(A) v‖, each row and column
  int64_t max_steps = 0;    // Krylov dimension at most; 0: as far as eigh is not cheaper
  bool portable = false;    // tensor operations alone on the CPU too, as on other devices
};

struct MatrixFunctionResult {
  at::Tensor values;     // [B, D, c]
  double error = 0;      // estimated relative error, largest over rows and columns (0 when exact)
  int64_t steps = 0;     // largest Krylov dimension used (0 when exact)
  at::Tensor eigen_max;  // [B], largest eigenvalue (exact forms) or Ritz value met
  bool converged = true;
};

// Column j of the result is functions[j](A) v_j, v [B, D, c], c = functions.size(). Rows do not
// depend on each other: each stops at its own convergence, and one with NaN or infinity in it gives
// NaN and converged = false. Not differentiable.
//
// Math: the exact forms work in float64. Low rank: Lanczos stops when a bound of its error, from
// the divided differences of f (krylov_function.h), meets the tolerance. Float32 operators are
// worked in float32 as long as its rounding, estimated as a perturbation of A by a few ulps of ‖A‖,
// stays below half the tolerance; a row where it does not is computed in float64. So the tolerance
// holds in float32 too, down to the rounding of the result itself (1e-7). Which form: low rank goes
// by eigh when D <= 16, and a row does when D/2 Krylov vectors have not been enough (both measured:
// eigh costs less there). Cost: low rank O(m D r + m² D) a row for m vectors, a dozen to twenty
// when the spectrum of εA spans ten; dense O(D³).
MatrixFunctionResult apply_functions(const SymmetricOperator& op,
                                     const std::vector<ScalarFunction>& functions,
                                     const at::Tensor& v,
                                     const MatrixFunctionOptions& options = {});

}  // namespace scorejet::linalg
