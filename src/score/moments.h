// Tweedie's formula of the first three orders: posterior moments of the clean x from the scores at
// the noisy x̃ = x + σz, and back. Add higher cumulants here.
#pragma once

#include <ATen/core/Tensor.h>

#include "src/linalg/symmetric_operator.h"
#include "src/linalg/symmetric_tensor.h"

namespace scorejet::score {

// E[x | x̃] = x̃ + σ² s1. Shapes: x, s1 [B, D]; sigma [B].
at::Tensor posterior_mean(const at::Tensor& x, const at::Tensor& sigma, const at::Tensor& s1);

// Cov[x | x̃] = σ² I + σ⁴ s2, in the structure of s2. Shapes: sigma [B].
// See: Meng et al. 2021, theorem 1; Efron 2011.
linalg::SymmetricOperator posterior_covariance(const at::Tensor& sigma,
                                               const linalg::SymmetricOperator& s2);

// The third cumulant of x given x̃, σ⁶ s3, in the structure of s3: the posterior's skewness.
// Shapes: sigma [B].
linalg::SymmetricTensor posterior_third_cumulant(const at::Tensor& sigma,
                                                 const linalg::SymmetricTensor& s3);

}  // namespace scorejet::score
