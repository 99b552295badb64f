// The denoising loss of order three, on plain tensors and operators: no model, no network. Per
// sample, [B], up to a constant that no parameter moves.
//
// Notation: x clean, z ~ N(0, I), x̃ = x + σz; r = z + σ s1(x̃) and C = I + σ² s2(x̃), held constant:
// no gradient flows into s1 and s2.
#pragma once

#include <ATen/core/Tensor.h>

#include "scorejet/linalg/symmetric_operator.h"
#include "scorejet/linalg/symmetric_tensor.h"

namespace scorejet::objectives {

// The scores at one set of points.
struct ThirdOrderPoint {
  at::Tensor s1;  // [B, D]
  linalg::SymmetricOperator s2;
  linalg::SymmetricTensor s3;
};

// ½‖s3 + Y/σ³‖²_F − ½‖Y/σ³‖²_F = ½‖s3‖² + (s3[r, r, r] − 3⟨s3, C ⊗ r⟩)/σ³, Y = r⊗r⊗r − 3 sym(C⊗r).
// Math: E[Y | x̃] = −σ³ s3: r is centred given x̃, with covariance C and third cumulant −σ³ s3; the
// term in C removes the first-order effect of an error in s1. For a diagonal s3 all norms and
// products run over the entries iii only.
// Shapes: z [B, D]; sigma [B]. Cost: O(B D r²); nothing of size B·D² or B·D³ for low rank.
at::Tensor third_order_loss(const ThirdOrderPoint& at_noisy, const at::Tensor& z,
                            const at::Tensor& sigma);

// ⟨s3, H⟩ with the Hermite tensor H = z⊗z⊗z − 3 sym(I⊗z), whose mean over z is zero. [B]
at::Tensor hermite_product(const linalg::SymmetricTensor& s3, const at::Tensor& z);

// The antithetic pair x ± σz with two control variates of zero mean, both at the clean x:
//   ½ [loss(x+, z) + loss(x−, −z)] − [φ'(0) + 3⟨s3(x), (zzᵀ − I)⊗s1(x)⟩]/σ²,
// φ(t) = ⟨s3(x + t z), H(z)⟩. The pair cancels terms of order σ⁻³; what is left of order σ⁻² is
// exactly these two, so the variance stays bounded as σ → 0. Same expectation as third_order_loss.
// For σ well below the length over which the density changes; above it the plain loss is the
// quieter. `slope` is φ'(0) [B]: a directional derivative, which the caller takes through its
// network with hermite_product.
at::Tensor third_order_loss_antithetic(const ThirdOrderPoint& plus, const ThirdOrderPoint& minus,
                                       const linalg::SymmetricTensor& s3_clean,
                                       const at::Tensor& s1_clean, const at::Tensor& slope,
                                       const at::Tensor& z, const at::Tensor& sigma);

}  // namespace scorejet::objectives
