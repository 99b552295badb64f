// What the Jacobian of s1 says of the leading directions of a low-rank s2: where it is looked at,
// and how what is seen there becomes a loss. (Of isotropic vectors: sketch_loss() of denoising.h.)
// Change how the leading directions are looked at here.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "scorejet/linalg/symmetric_operator.h"

namespace scorejet::objectives {

// How evenly leading_vectors() look at the span: 0 at its largest directions alone, 1/2 at all
// alike.
constexpr double kSketchEvenness = 0.25;    // of the one beside an isotropic vector
constexpr double kSketchWeight = 0.2;       // of its loss
constexpr double kLeadingEvenness = 0.375;  // of those of leading_loss()
constexpr int64_t kLeadingVectors = 4;      // a sample

// m vectors of length √D in the span of the factor B of s2 = diag(a) + B Bᵀ, [B, m, D]; no
// gradient. An isotropic v has only r/D of its length in that span, so that what a sketch says of
// the leading directions drowns in the rest of J v. A v inside it pulls the columns of B towards
// J B, as a step of subspace iteration would. Math: v ∝ B (BᵀB)^(−p) w, p the evenness. Zero where
// B is. Shapes: w [B, m, r], standard normal. Errors: std::invalid_argument for a structure without
// a factor or shapes. Cost: O(D r²) and an eigh of r × r a row.
at::Tensor leading_vectors(const linalg::SymmetricOperator& s2, const at::Tensor& w,
                           double evenness);

// Which directions lead, whatever their size, per sample, [B]: ½ Σ over v of |j|² sin²∠(B Bᵀ v, j)
// with j = v/σ² + J v, what the posterior covariance over σ⁴ makes of v. It is least where the span
// of B is that of leading eigenvectors and B Bᵀ a multiple of the covariance there. |B Bᵀ v − j|²,
// which has the same directions, is mostly about lengths, in which those that lead less are lost;
// lengths are for a loss of samples. Moves the factor alone, and not its size. Shapes: v, jv
// [B, m, D]; sigma [B]. Errors: std::invalid_argument for a structure without a factor or shapes.
at::Tensor leading_loss(const linalg::SymmetricOperator& s2, const at::Tensor& v,
                        const at::Tensor& jv, const at::Tensor& sigma);

}  // namespace scorejet::objectives
