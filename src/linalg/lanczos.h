// Lanczos on a batch of symmetric operators: Krylov bases and leading eigenpairs.
// Change reorthogonalisation, breakdown handling and stopping of eigenpairs here.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "scorejet/symmetric_operator.h"

namespace scorejet::linalg {

// An orthonormal Krylov basis per batch row and column, grown one vector at a time.
// Math: A V = V T + β v_{m+1} e_mᵀ with T tridiagonal; full reorthogonalisation, twice, so that V
// stays orthonormal to rounding. When an invariant subspace is found (breakdown: β negligible), β
// is set to exactly 0 and growth goes on from a fresh vector orthogonal to the basis, or from zero
// vectors when `restart` is false (then f(A)v computed in the subspace is already exact). Cost: m
// applications of A and O(m² D) a row for m steps.
class LanczosBasis {
 public:
  // start [B, D, c]: c independent Krylov sequences a row. Zero start vectors are allowed.
  LanczosBasis(const SymmetricOperator& op, const at::Tensor& start, bool restart);

  void grow(int64_t num_steps);  // up to D vectors in all; further steps are no-ops
  int64_t steps() const { return steps_; }
  at::Tensor start_norm() const { return start_norm_; }  // [B, c]
  at::Tensor vectors() const;                            // [B, c, m, D], rows orthonormal (or zero)
  at::Tensor alpha() const;                              // T's diagonal, [B, c, m]
  at::Tensor beta() const;                               // β_1 .. β_m, [B, c, m]
  at::Tensor tridiagonal() const;                        // T, [B, c, m, m]
  at::Tensor last_beta() const;                          // β_m, [B, c]

 private:
  at::Tensor fresh_vector(const at::Tensor& basis) const;

  SymmetricOperator op_;  // shares its tensors
  bool restart_;
  int64_t steps_ = 0;
  at::Tensor start_norm_;
  at::Tensor scale_;    // [B, c], running estimate of ‖A‖ that β is held against
  at::Tensor next_;     // [B, c, D], v_{m+1}
  at::Tensor storage_;  // [B, c, capacity, D]
  std::vector<at::Tensor> alpha_, beta_;  // each [B, c]
};

struct EigenOptions {
  double tolerance = 1e-5;  // residual ‖A v − λ v‖ against the largest |λ| of the row
  int64_t max_steps = 0;    // Lanczos vectors at most; 0 means min(D, 20 k + 100)
};

// Lanczos vectors at most, k at least.
int64_t max_steps(const SymmetricOperator& op, int64_t k, const EigenOptions& options);

struct EigenPairs {
  at::Tensor values;    // [B, k], descending
  at::Tensor vectors;   // [B, D, k], orthonormal columns
  double residual = 0;  // largest relative residual over the batch
  int64_t steps = 0;    // Lanczos vectors used
  bool converged = false;
};

// The k largest eigenvalues and their eigenvectors of each operator of the batch: Lanczos for low
// rank, chain by chain on the CPU (eigen_cpu.cc); eigh for dense ones; sorting for diagonal ones.
// Signs as fix_signs() leaves them. On the CPU a low-rank row's answer does not depend on which
// others it came with. Errors: std::invalid_argument unless 1 <= k <= D.
EigenPairs top_eigenpairs(const SymmetricOperator& op, int64_t k, const EigenOptions& options = {});

// Vectors [B, D, k] of the same lines whose entry of largest magnitude is positive.
at::Tensor fix_signs(const at::Tensor& vectors);

}  // namespace scorejet::linalg
