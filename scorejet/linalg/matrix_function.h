// f(A) v for a batch of symmetric operators: eigh when dense, elementwise when diagonal, Lanczos
// when low rank. Change the stopping rule of the Krylov form here.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "scorejet/linalg/symmetric_operator.h"

namespace scorejet::linalg {

// φ₁(t) = (eᵗ − 1)/t, φ₁(0) = 1: the exponential integrator's function, finite everywhere.
at::Tensor phi1(const at::Tensor& t);

// Maps eigenvalues to f(eigenvalues), elementwise.
using ScalarFunction = std::function<at::Tensor(const at::Tensor&)>;

struct MatrixFunctionOptions {
  double tolerance = 1e-6;  // relative change of f(A)v at which the Krylov form stops
  int64_t max_steps = 0;    // Krylov dimension at most; 0 means D
};

struct MatrixFunctionResult {
  at::Tensor values;     // [B, D, c]
  double error = 0;      // estimated relative error, largest over rows and columns
  int64_t steps = 0;     // Krylov dimension used (0 when exact)
  at::Tensor eigen_max;  // [B], largest eigenvalue (dense, diagonal) or Ritz value met
  bool converged = true;
};

// Column j of the result is functions[j](A) v_j, v [B, D, c], c = functions.size().
// Math: low rank: f(A)v ≈ ‖v‖ V f(T) e₁ (Saad 1992); stops when two successive estimates, four
// Krylov vectors apart, differ by less than tolerance relative to the estimate.
// Cost: low rank O(m D r + m² D) a row; dense O(D³).
MatrixFunctionResult apply_functions(const SymmetricOperator& op,
                                     const std::vector<ScalarFunction>& functions,
                                     const at::Tensor& v,
                                     const MatrixFunctionOptions& options = {});

}  // namespace scorejet::linalg
