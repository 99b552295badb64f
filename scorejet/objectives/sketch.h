// Where a sketch looks: the vectors v at which s2 v is held against J v. The loss itself is
// sketch_loss() of denoising.h. Change how often the leading directions are looked at here.
#pragma once

#include <ATen/core/Tensor.h>

#include "scorejet/linalg/symmetric_operator.h"

namespace scorejet::objectives {

// Weight of a leading vector's loss beside that of an isotropic one.
constexpr double kLeadingWeight = 0.2;

// Vectors of length √D in the span of the factor B of s2 = diag(a) + B Bᵀ, [B, D]; no gradient.
// An isotropic v has only r/D of its length in that span, so that what a sketch says of the leading
// directions drowns in the rest of J v. A v inside it pulls the columns of B towards J B, as a step
// of subspace iteration would; the minimiser over all symmetric s2 is the same where J is
// symmetric. Math: v ∝ B (BᵀB)^(−1/4) w: between B w, which looks at the largest directions alone,
// and an orthonormal basis, which looks at all alike. Zero where B is. Shapes: w [B, r], standard
// normal. Errors: std::invalid_argument for a structure without a factor or shapes. Cost: O(D r²)
// and an eigh of r × r a row.
at::Tensor leading_vectors(const linalg::SymmetricOperator& s2, const at::Tensor& w);

}  // namespace scorejet::objectives
