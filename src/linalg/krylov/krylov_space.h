// Krylov spaces of a batch of operators diag(a) + F Fᵀ, one a chain and column, each of its own
// size: what matrix functions need of Lanczos and no more. Two forms that the tests hold to each
// other: chain by chain on the CPU (krylov_cpu.cc), and tensor operations for any device
// (krylov_space.cc, on LanczosBasis).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "scorejet/symmetric_operator.h"

namespace scorejet::linalg {

// Pair p = b c + j is column j of row b.
class KrylovSpace {
 public:
  virtual ~KrylovSpace() = default;

  // Grows the space of pair p to sizes[p] vectors, or until it is invariant under A.
  virtual void grow(const std::vector<int64_t>& sizes) = 0;
  virtual int64_t size(int64_t pair) const = 0;
  virtual double start_norm(int64_t pair) const = 0;
  // The coefficients of A V = V T + β_m v_{m+1} e_mᵀ: T's diagonal [m], and beside it β_1 .. β_m;
  // β_m is exactly 0 when the space is invariant.
  virtual const double* alpha(int64_t pair) const = 0;
  virtual const double* beta(int64_t pair) const = 0;
  // Sets values[b, :, j] = Σ_k coefficients[p][k] v_k and gives the vectors back. Pairs whose list
  // is empty are left alone. values [B, D, c] of the input's type.
  virtual void combine(const std::vector<std::vector<double>>& coefficients,
                       at::Tensor& values) = 0;
};

// v [B, D, c]. `type` (float32, float64) is the arithmetic's, whatever op and v are stored in.
std::unique_ptr<KrylovSpace> make_cpu_krylov(const SymmetricOperator& op, const at::Tensor& v,
                                             at::ScalarType type);
std::unique_ptr<KrylovSpace> make_tensor_krylov(const SymmetricOperator& op, const at::Tensor& v,
                                                at::ScalarType type);

}  // namespace scorejet::linalg
