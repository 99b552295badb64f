// A batch of symmetric D x D x D tensors in one of three structures, behind one set of operations:
// what SymmetricOperator is for matrices. Add an operation or a structure here.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

#include "scorejet/symmetric_operator.h"

namespace scorejet::linalg {

// Structures, sharing SymmetricOperator's names:
//   dense      T [B, D, D, D]
//   diagonal   T_iii = c_i, zero elsewhere; c [B, D]
//   low rank   Σ_j γ_j w_j ⊗ w_j ⊗ w_j + diag3(c); γ [B, r] of any sign, w_j the columns of
//              W [B, D, r] (a symmetric CP form)
// A value: copying shares the tensors. Every operation is differentiable by autograd. Low rank
// costs O(B D r²) time and O(B D r) memory at most; nothing of size B·D³ or B·D² is made unless the
// structure is dense or dense() is called.
class SymmetricTensor {
 public:
  // Errors (all three): std::invalid_argument for shapes that do not fit together.
  static SymmetricTensor from_dense(at::Tensor tensor);  // [B, D, D, D], taken as symmetric
  static SymmetricTensor from_diagonal(at::Tensor diagonal);
  static SymmetricTensor from_low_rank(at::Tensor diagonal, at::Tensor weights, at::Tensor factor);

  Structure structure() const { return structure_; }
  int64_t batch() const { return first_.size(0); }
  int64_t dim() const { return first_.size(1); }

  // The parts. Errors: std::logic_error for a part that the structure does not have.
  const at::Tensor& tensor() const;         // dense
  const at::Tensor& diagonal_part() const;  // c of diagonal and low_rank
  const at::Tensor& weights() const;        // γ of low_rank
  const at::Tensor& factor() const;         // W of low_rank

  at::Tensor dense() const;     // [B, D, D, D]
  at::Tensor diagonal() const;  // T_iii, [B, D]
  // ‖T‖²_F; low rank: Σ_jk γ_j γ_k (w_j·w_k)³ + 2 Σ_ij c_i γ_j w_ij³ + Σ_i c_i². [B]
  at::Tensor frobenius_squared() const;
  at::Tensor apply(const at::Tensor& v) const;       // T[v, v] = Σ_kl T_ikl v_k v_l, [B, D]
  at::Tensor cubic_form(const at::Tensor& v) const;  // T[v, v, v], [B]
  // ⟨T, A ⊗ v⟩ = Σ_ikl T_ikl A_ik v_l, which is also ⟨T, sym(A ⊗ v)⟩. [B]
  // Cost: low rank O(B D r (1 + rank of A)).
  at::Tensor inner(const SymmetricOperator& a, const at::Tensor& v) const;
  // ⟨T, C² ⊗ v⟩, without C². [B]
  at::Tensor inner_square(const SymmetricOperator& c, const at::Tensor& v) const;
  SymmetricTensor scaled(const at::Tensor& scale) const;      // scale T, scale [B] of any sign
  SymmetricTensor slice(int64_t first, int64_t count) const;  // rows of the batch
  SymmetricTensor detach() const;

 private:
  SymmetricTensor(Structure structure, at::Tensor first, at::Tensor weights, at::Tensor factor)
      : structure_(structure),
        first_(std::move(first)),
        weights_(std::move(weights)),
        factor_(std::move(factor)) {}
  const at::Tensor& part(const at::Tensor& tensor, Structure wanted, const char* name) const;

  Structure structure_;
  at::Tensor first_;             // the tensor, or c
  at::Tensor weights_, factor_;  // γ and W, or undefined
};

}  // namespace scorejet::linalg
