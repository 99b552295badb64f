// The Gaussian likelihood of what a denoiser leaves, as a loss for s2. Change how the posterior's
// covariance is scored here.
#pragma once

#include <ATen/core/Tensor.h>

#include "scorejet/symmetric_operator.h"

namespace scorejet::objectives {

// Negative log-likelihood of the clean x under its posterior N(μ, Cov), per sample, [B], less
// D/2 ln(2π σ²): ½ [ln det C + rᵀ C⁻¹ r] with C = Cov/σ² = I + σ² s2 and r = z + σ s1 = (μ − x)/σ,
// s1 held constant. Its minimiser over all C is the true covariance, as that of the centred form
// is; where a structure cannot reach it, this one keeps small variances right in proportion, the
// centred form large ones in absolute size. A proper scoring rule (Dawid and Sebastiani 1999).
// Shapes: s1, z [B, D]; sigma [B]. Errors: std::invalid_argument for shapes; std::domain_error for
// a C that is not positive definite (a free parameterisation), naming the row; off the CPU its loss
// is NaN. Cost: O(B D r²) in float64 for low rank (Woodbury), O(B D³) when dense.
at::Tensor likelihood_loss(const at::Tensor& s1, const linalg::SymmetricOperator& s2,
                           const at::Tensor& z, const at::Tensor& sigma);

}  // namespace scorejet::objectives
