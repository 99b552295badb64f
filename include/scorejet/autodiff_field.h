// The usual way to a higher-order score, kept as a baseline: differentiate one of a lower order.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <utility>

#include "scorejet/score_field.h"

namespace scorejet::score {

// s1 of another field, and s2 as the symmetric part of its Jacobian, by automatic differentiation.
// The other field must be differentiable in x by autograd. Nothing flows into its parameters: the
// jet is detached. Its log density, where it has one, is this one's.
class AutodiffField : public ScoreField {
 public:
  explicit AutodiffField(std::shared_ptr<const ScoreField> field) : field_(std::move(field)) {}
  explicit AutodiffField(const ScoreField& field) : field_(borrow(field)) {}  // must outlive this

  int64_t dim() const override { return field_->dim(); }
  int max_order() const override { return 2; }

  // s2 is dense: ½ (J + Jᵀ), J = ∂s1/∂x. Cost: D vector-Jacobian products, O(B D²) memory.
  using ScoreField::evaluate;
  Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const override;

  bool has_log_density() const override { return field_->has_log_density(); }
  at::Tensor log_density(const at::Tensor& x, const at::Tensor& sigma) const override {
    return field_->log_density(x, sigma);
  }

 private:
  std::shared_ptr<const ScoreField> field_;
};

// J = ∂s1/∂x of a field at points that stay: s1 is traced once, then J and Jᵀ are applied to as
// many vectors as wanted, several a row in one pass. Exact. The field's parameters are left alone;
// what comes out is detached.
class TracedJacobian {
 public:
  // Traces s1 at each x `copies` times, so that a pass takes that many vectors a row.
  // Shapes: x [B, D]; sigma [B] or a scalar. Errors: std::invalid_argument for shapes, copies < 1,
  // or a field whose s1 autograd cannot differentiate. Cost: the graph of B · copies points.
  TracedJacobian(const ScoreField& field, const at::Tensor& x, const at::Tensor& sigma,
                 int64_t copies = 1);

  // J v and Jᵀ v, v [B, m, D] -> [B, m, D], any m: vectors beyond `copies` take further passes.
  // Cost of a pass: Jᵀ v one backward pass, J v one through the graph of such a one.
  // Errors: std::invalid_argument for shapes; apply() also where s1 has no second derivative.
  at::Tensor apply(const at::Tensor& v) const;
  at::Tensor apply_transposed(const at::Tensor& v) const;

 private:
  at::Tensor in_pieces(const at::Tensor& v, bool transposed) const;

  int64_t copies_;
  at::Tensor x_, s1_;              // [B · copies, D]
  mutable at::Tensor u_, pulled_;  // u and Jᵀ u with its graph, traced when J is first applied
};

// J(x) v or, with `transposed`, J(x)ᵀ v, J = ∂s1/∂x of `field`: exact, one extra backward pass (two
// for J v), no D × D matrix. Shapes: x, v [B, D]; sigma [B] or a scalar; returns [B, D].
// Errors: std::invalid_argument for shapes, or a field whose s1 autograd cannot differentiate.
at::Tensor jacobian_vector_product(const ScoreField& field, const at::Tensor& x,
                                   const at::Tensor& sigma, const at::Tensor& v,
                                   bool transposed = false);

// The derivative of `field`'s second-order score, symmetrised over its three indices: dense s3, for
// small D, the baseline of a learned one. Exact; chunked over the points. Detached, as above.
// Shapes: x [B, D]; sigma [B] or a scalar. Cost: D + 1 backward passes through s2, B D³ numbers.
// Errors: std::invalid_argument for shapes, a field without s2, or one whose s2 autograd cannot
// differentiate.
linalg::SymmetricTensor third_by_autodiff(const ScoreField& field, const at::Tensor& x,
                                          const at::Tensor& sigma);

}  // namespace scorejet::score
