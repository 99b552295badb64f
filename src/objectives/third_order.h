// The denoising loss of order three, on plain tensors and operators: no model, no network. Per
// sample, [B], up to a constant that no parameter moves.
//
// Notation: x clean, z ~ N(0, I), x̃ = x + σz; r = z + σ s1(x̃) and C = I + σ² s2(x̃), held constant:
// no gradient flows into s1 and s2.
#pragma once

#include <ATen/core/Tensor.h>

#include "scorejet/symmetric_operator.h"
#include "scorejet/symmetric_tensor.h"

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

// ⟨s3, H⟩ with the Hermite tensor H = w⊗w⊗w − 3 sym(C²⊗w) of w = C z, C = I + σ² s2, held
// constant. Over z given s2, H has mean zero and is orthogonal to every polynomial below degree
// three. [B]
at::Tensor hermite_product(const linalg::SymmetricTensor& s3, const linalg::SymmetricOperator& s2,
                           const at::Tensor& z, const at::Tensor& sigma);

// The antithetic pair x ± σz with two control variates of zero mean, both at the clean x:
//   ½ [loss(x+, z) + loss(x−, −z)] − [φ'(0) + 3⟨s3(x), (wwᵀ − C²)⊗s1(x)⟩]/σ²,
// φ(t) = ⟨s3(x + t z), H⟩ with w, C and H at the clean x: there r at x± is ±w + σ s1(x) up to σ².
// The pair cancels terms of order σ⁻³; what is left of order σ⁻² is exactly these two, so the
// variance stays bounded as σ → 0. Where σ is no smaller than the length over which s3 changes they
// would add noise: each is taken with a coefficient in [0, 1], fitted by least squares on the other
// half of the batch, so that it is independent of what it multiplies. The expectation over
// independent samples is that of third_order_loss. `coefficient` [B] multiplies both of them, as in
// hessian_loss_antithetic (undefined: 1). `slope` is φ'(0) [B]: a directional derivative,
// which the caller takes through its network with hermite_product.
at::Tensor third_order_loss_antithetic(const ThirdOrderPoint& plus, const ThirdOrderPoint& minus,
                                       const ThirdOrderPoint& clean, const at::Tensor& slope,
                                       const at::Tensor& z, const at::Tensor& sigma,
                                       const at::Tensor& coefficient = {});

}  // namespace scorejet::objectives
