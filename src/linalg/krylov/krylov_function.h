// f(A) v by Lanczos for a batch of operators diag(a) + F Fᵀ, every chain and column at its own
// Krylov dimension. Change the stopping rule, the growth of the spaces and the choice of precision
// in krylov_function.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "src/linalg/matrix_function.h"

namespace scorejet::linalg {

// How far a row has come; rows are independent of each other.
enum class RowState : uint8_t {
  kGrowing,
  kDone,
  kShort,     // max_steps reached above the tolerance
  kRounding,  // rounding in this arithmetic alone exceeds half the tolerance: compute in float64
  kCostly,    // half of R^D would not do: eigh costs less
  kFailed     // an entry is not finite
};

struct KrylovRows {
  std::vector<RowState> state;    // [B], of the last four kinds none in `values`
  std::vector<double> error;      // [B], estimated relative error, largest over the columns
  std::vector<double> eigen_max;  // [B], largest Ritz value
  int64_t steps = 0;              // largest Krylov dimension
};

// Column j of row b of `values` becomes functions[j](A_b) v_bj for the rows that end as kDone or
// kShort. Row b of the arguments handed to functions[j] is row rows[b] of `batch` (the caller's
// batch, of which `op` and `v` may be some rows only). `type` is that of the arithmetic.
//
// Math: f(A)v ≈ ‖v‖ V f(T) e₁ (Saad 1992). Its error is, with T = U diag(θ) Uᵀ and for every f,
//   ‖v‖ β_m g(A) v_{m+1},  g(λ) = Σ_j u_1j u_mj (f(λ) − f(θ_j))/(λ − θ_j)
// (Ilić, Turner and Simpson 2010), so that β_m max |g| over the spectrum bounds it, relative to
// ‖f(T) e₁‖. The maximum is taken over the midpoints of the Ritz values and the two ends of the
// spectrum, which are the outermost Ritz values of the row moved outwards by their residuals. For
// f = φ₁(ε ·), all of whose derivatives are positive, g increases and the upper end is the maximum.
KrylovRows apply_krylov(const SymmetricOperator& op, const std::vector<ScalarFunction>& functions,
                        const at::Tensor& v, const MatrixFunctionOptions& options,
                        at::ScalarType type, const std::vector<int64_t>& rows, int64_t batch,
                        at::Tensor& values);

}  // namespace scorejet::linalg
