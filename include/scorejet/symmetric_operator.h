// A batch of symmetric D x D matrices in one of three structures, behind one set of operations.
// Add a structure here (the enum, a factory, a case in each operation); losses, posterior and
// samplers only use these operations and need no change.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace scorejet::linalg {

enum class Structure {
  kDense,     // a full matrix [B, D, D]
  kDiagonal,  // diag(a), a [B, D]
  kLowRank    // diag(a) + F Fᵀ, a [B, D], F [B, D, r]
};

const char* structure_name(Structure structure);  // "dense", "diagonal", "low_rank"
// Errors: std::invalid_argument naming the text and the names that exist.
Structure parse_structure(const std::string& text);

// A value: copying shares the tensors. Every operation is differentiable by autograd, keeps dtype
// and device, and for kLowRank costs O(B D r²) time and O(B D r) memory at most; nothing of size
// B·D·D is made unless the structure is dense or dense() is called.
class SymmetricOperator {
 public:
  // Errors (all three): std::invalid_argument for shapes that do not fit together.
  static SymmetricOperator from_dense(at::Tensor matrix);       // [B, D, D], taken as symmetric
  static SymmetricOperator from_diagonal(at::Tensor diagonal);  // [B, D]
  static SymmetricOperator from_low_rank(at::Tensor diagonal, at::Tensor factor);

  Structure structure() const { return structure_; }
  int64_t batch() const { return first_.size(0); }
  int64_t dim() const { return first_.size(1); }
  int64_t rank() const;  // r; 0 for diagonal, D for dense

  // The parts. Errors: std::logic_error for a part that the structure does not have.
  const at::Tensor& matrix() const;         // dense
  const at::Tensor& diagonal_part() const;  // a of diagonal and low_rank (not the whole diagonal)
  const at::Tensor& factor() const;         // F of low_rank

  at::Tensor apply(const at::Tensor& v) const;  // A v; v [B, D] or [B, D, k]
  at::Tensor diagonal() const;                  // [B, D]
  at::Tensor dense() const;                     // [B, D, D]
  at::Tensor trace() const;                     // [B]
  // ‖A‖²_F; low rank: Σa² + 2 Σ_i a_i ‖F_i‖² + ‖FᵀF‖². [B]
  at::Tensor frobenius_squared() const;
  at::Tensor quadratic_form(const at::Tensor& v) const;  // vᵀ A v, v [B, D] -> [B]

  // A + u uᵀ, u [B, D]. A diagonal operator becomes low rank with r = 1.
  SymmetricOperator plus_outer(const at::Tensor& u) const;
  // shift I + scale A, each [B] or a scalar tensor; scale >= 0 for low rank (it goes into F as its
  // square root). Errors: std::domain_error for a negative scale of a low-rank operator.
  SymmetricOperator affine(const at::Tensor& shift, const at::Tensor& scale) const;
  SymmetricOperator slice(int64_t first, int64_t count) const;  // rows of the batch
  SymmetricOperator detach() const;

 private:
  SymmetricOperator(Structure structure, at::Tensor first, at::Tensor second)
      : structure_(structure), first_(std::move(first)), second_(std::move(second)) {}

  Structure structure_;
  at::Tensor first_;   // matrix, or the diagonal part
  at::Tensor second_;  // F, or undefined
};

// tr(C A C) = ⟨A, C²⟩, [B]. Cost: O(B D r²), or O(B D³) when one of them is dense.
at::Tensor congruence_trace(const SymmetricOperator& a, const SymmetricOperator& c);

// The diagonal of C², the squared norms of its rows, [B, D]. Cost: O(B D r²), or O(B D²).
at::Tensor square_diagonal(const SymmetricOperator& c);

// Rows of the batch: those of `first` where mask [B] is true, of `second` elsewhere (same
// structure, D and r). Errors: std::invalid_argument for different structures.
SymmetricOperator select_rows(const at::Tensor& mask, const SymmetricOperator& first,
                              const SymmetricOperator& second);

// Whether each row of the batch has no NaN and no infinity in its parts, [B] bool.
at::Tensor finite_rows(const SymmetricOperator& op);

// One operator whose batch is that of all of them, in order (same structure, D and r).
SymmetricOperator concatenate(const std::vector<SymmetricOperator>& parts);

}  // namespace scorejet::linalg
