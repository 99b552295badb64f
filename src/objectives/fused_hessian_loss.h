// The order-2 losses for s2 = diag(a) + B Bᵀ in float32 on the CPU, sample by sample: B is read
// once for the value and once for the gradient, while the tensor operations of denoising.cc pass
// over it some twenty times. Called from there; not for other use.
#pragma once

#include <ATen/core/Tensor.h>

#include "scorejet/symmetric_operator.h"
#include "src/objectives/denoising.h"

namespace scorejet::objectives {

// Whether fused_hessian_loss() takes these: low rank with r >= 1, float32, CPU, fitting shapes, and
// no gradient asked for in z or sigma.
bool can_fuse_hessian_loss(Form form, const at::Tensor& s1, const linalg::SymmetricOperator& s2,
                           const at::Tensor& z, const at::Tensor& sigma);

// hessian_loss() where s1 is [B, D], hessian_loss_antithetic() where it is [3B, D], and s2 of as
// many; `coefficient` [B], float32, is the control variate's (undefined: 1), and where it is 0 the
// clean x is not looked at. A derivative of the gradient goes through the plain form. Math: with
// G = BᵀB and M an [r, r] matrix made of G, the gradient in B is a∘B + B M and outer products of
// vectors. Cost: 3 B D r² multiply-adds, twice that for the clean x of the centred form; O(B r²)
// memory beside the gradient. The same bits for any number of threads.
at::Tensor fused_hessian_loss(Form form, const at::Tensor& s1, const linalg::SymmetricOperator& s2,
                              const at::Tensor& z, const at::Tensor& sigma,
                              const at::Tensor& coefficient = {});

}  // namespace scorejet::objectives
