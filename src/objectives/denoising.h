// The denoising losses of order one and two, on plain tensors and operators: no model, no network.
// One function a loss; add an objective here and to training/loss_terms.cc, which calls them.
//
// Notation: x clean, z ~ N(0, I), x̃ = x + σz, D dimensions. Every loss is returned per sample, [B],
// up to a constant that no parameter moves (stated at each), so a value may be negative.
#pragma once

#include <ATen/core/Tensor.h>

#include "scorejet/loss_options.h"
#include "scorejet/symmetric_operator.h"

namespace scorejet::objectives {

// Order 1, denoising score matching: ‖s1 + z/σ‖². Exact, no constant dropped.
// Shapes: s1, z [B, D]; sigma [B]; returns [B]. See: Vincent 2011.
at::Tensor score_loss(const at::Tensor& s1, const at::Tensor& z, const at::Tensor& sigma);

// Order 1 with an antithetic pair x± = x ± σz:
// ½ [‖s1(x+)‖² + ‖s1(x−)‖² + (2/σ) z·(s1(x+) − s1(x−))], the mean of score_loss over the pair less
// ‖z‖²/σ², which grows without bound as σ → 0. See: Meng et al. 2021, section 4.3.
at::Tensor score_loss_antithetic(const at::Tensor& s1_plus, const at::Tensor& s1_minus,
                                 const at::Tensor& z, const at::Tensor& sigma);

// Order 2: ½‖h + Δ‖²_F − ½‖Δ‖²_F = ½‖h‖² + (tr h − vᵀ h v)/σ², Δ = (I − vvᵀ)/σ², with
// h = s2 + s1 s1ᵀ, v = z (product) or h = s2, v = z + σ s1 (centred).
// s1 is held constant: no gradient flows into it. For a diagonal s2 all norms and products run over
// the diagonal entries only.
// Cost: O(B D r²) time and O(B D r) memory for low rank; nothing of size B·D·D.
// Errors: std::invalid_argument for shapes, or kSketch, which has a loss of its own below.
// Low rank in float32 on the CPU goes through fused_hessian_loss.h, everything else through
// hessian_loss_plain, the same in tensor operations.
at::Tensor hessian_loss(Form form, const at::Tensor& s1, const linalg::SymmetricOperator& s2,
                        const at::Tensor& z, const at::Tensor& sigma);
at::Tensor hessian_loss_plain(Form form, const at::Tensor& s1, const linalg::SymmetricOperator& s2,
                              const at::Tensor& z, const at::Tensor& sigma);

// The coefficient of the control variates at the clean x, [B] in 0..1, held constant: 1 where the
// noise is little beside the data there, falling to exactly 0 as it grows. Such a term is linear in
// the scores at x: where x̃ is of another law than x nothing else bounds it, and as w = C z grows
// with s2(x) it feeds on itself. Math: with C = I + σ² s2(x), the model's own view of how much the
// noise leaves known, share = ‖I − C‖²/D; 1 up to a share of 0.04 and 0 from 0.16, which for
// coordinates of variance V are σ = 0.5 √V and 0.82 √V. It depends on x alone, so no expectation
// moves; and a term that has outgrown its share is left out. docs/evidence/defaults.md has figures.
at::Tensor variate_coefficient(const linalg::SymmetricOperator& s2_clean, const at::Tensor& sigma);
// Of a share.
at::Tensor variate_coefficient(const at::Tensor& share);

// Order 2 with the antithetic pair and the control variate ⟨C² − wwᵀ, h(x)⟩/σ² at the clean x,
// whose mean over z is zero: ½ [loss(x+, z) + loss(x−, −z)] − (tr(C h(x) C) − wᵀ h(x) w)/σ², with w
// = C z and C = I (product; Meng et al. 2021, section 4.3) or C = I + σ² s2(x), held constant
// (centred: there v = z + σ s1(x+) ≈ C z + σ s1(x), and the pair cancels what is odd in z). The
// same expectation as hessian_loss; its variance stays bounded as σ → 0. `coefficient` [B]
// multiplies the control variate (undefined: 1; held constant): any that does not depend on z
// leaves the expectation, and variate_coefficient fades it out.
// The three evaluations are one batch of 3B, those at x + σz first, then x − σz, then x: one
// gradient of that batch where slices would be added up from three as large.
// Shapes: s1 [3B, D]; s2 of 3B; z [B, D]; sigma [B].
at::Tensor hessian_loss_antithetic(Form form, const at::Tensor& s1,
                                   const linalg::SymmetricOperator& s2, const at::Tensor& z,
                                   const at::Tensor& sigma, const at::Tensor& coefficient = {});
at::Tensor hessian_loss_antithetic_plain(Form form, const at::Tensor& s1,
                                         const linalg::SymmetricOperator& s2, const at::Tensor& z,
                                         const at::Tensor& sigma,
                                         const at::Tensor& coefficient = {});

// Order 2 from a sketch: ½‖s2 v − J v‖², whose mean over v with E vvᵀ = I is ½‖s2 − J‖² less what
// no s2 of its structure can reach. jv = J v (or Jᵀ v), held constant. v independent of x̃.
// Shapes: v, jv [B, D].
at::Tensor sketch_loss(const linalg::SymmetricOperator& s2, const at::Tensor& v,
                       const at::Tensor& jv);

}  // namespace scorejet::objectives
