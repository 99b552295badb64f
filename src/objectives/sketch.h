// What the Jacobian of s1 says of the leading directions of a low-rank s2: where it is looked at,
// and how what is seen there becomes a loss. (Of isotropic vectors: sketch_loss() of denoising.h.)
// Change how the leading directions are looked at here.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "scorejet/symmetric_operator.h"

namespace scorejet::objectives {

// How evenly leading_vectors() look at the span: 0 at its largest directions alone, 1/2 at all
// alike.
constexpr double kSketchEvenness = 0.25;  // of the one beside an isotropic vector
constexpr double kSketchWeight = 0.2;     // of its loss
constexpr double kLeadingEvenness = 0.5;  // of those of leading_loss() and span_loss()
constexpr int64_t kLeadingVectors = 4;    // a sample
constexpr double kSpanWeight = 4;         // of span_loss() beside leading_loss()

// m vectors of length √D in the span of the factor B of s2 = diag(a) + B Bᵀ, [B, m, D]; no
// gradient. An isotropic v has only r/D of its length in that span, so that what a sketch says of
// the leading directions drowns in the rest of J v. A v inside it pulls the columns of B towards
// J B, as a step of subspace iteration would. Math: v ∝ B (BᵀB)^(−p) w, p the evenness. Zero where
// B is. Shapes: w [B, m, r], standard normal. Errors: std::invalid_argument for a structure without
// a factor or shapes. Cost: O(D r²) and an eigh of r × r a row.
at::Tensor leading_vectors(const linalg::SymmetricOperator& s2, const at::Tensor& w,
                           double evenness);

// B should point along the leading eigenvectors of the posterior covariance C. It should not take
// their lengths from J, which inherits the error of s1. One product with J gives j = v/σ² + J v,
// which is C v/σ⁴. The loss per sample, [B], is
//   ½ Σ over v of |j|² sin²∠(B Bᵀ v, j),
// zero where B spans eigenvectors of C and B Bᵀ is a multiple of C there. (|B Bᵀ v − j|²
// favours the same directions, but is mostly about lengths, so weak directions would be lost.)
// Moves the factor alone, and not its size. Shapes: v, jv [B, m, D]; sigma [B]. Errors:
// std::invalid_argument for a structure without a factor or shapes.
at::Tensor leading_loss(const linalg::SymmetricOperator& s2, const at::Tensor& v,
                        const at::Tensor& jv, const at::Tensor& sigma);

// Minus the variance of C inside the span of B, per sample, [B]:
//   −q Σ over v of ⟨P v, j⟩, P = B (BᵀB)⁻¹ Bᵀ, j as above,
// with q = Σ_i V_i²/Σ_i V_i of the model's own variances over σ⁴, for the units of leading_loss().
// That loss weighs a direction by λ², this one by λ, so that weak directions are learned too. A
// rotation within the span leaves it unchanged. With vectors of evenness 1/2, E v vᵀ = P D/r: each
// v gives −q D/r tr(P C)/σ⁴ on average. The derivative in B, for v = B a, is taken as
// −q (I − P) j aᵀ, so that the factor alone moves. Shapes and errors as leading_loss().
at::Tensor span_loss(const linalg::SymmetricOperator& s2, const at::Tensor& v, const at::Tensor& jv,
                     const at::Tensor& sigma);

}  // namespace scorejet::objectives
