// A linear layer for weights so large that their gradient is worth writing once.
#pragma once

#include <ATen/core/Tensor.h>

namespace scorejet::nets {

// x Wᵀ + b as at::linear gives it, with the same gradients. A backward pass that is not itself
// differentiated adds the weight's gradient to an existing W.grad() in place: it makes no temporary
// of W's size, and no pass to add it. (So autograd::grad() of a W that has a .grad() finds nothing
// to return.) Shapes: x [B, in]; weight [out, in]; bias [out].
at::Tensor direct_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace scorejet::nets
