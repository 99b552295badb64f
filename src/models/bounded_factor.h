// The bounded factor of s2: B = e β(b/√r), from raw network outputs.
#pragma once

#include <ATen/core/Tensor.h>

namespace scorejet::models {

// Math: B_ij = e_i β(b_ij/√r), β(u) = u/√(1 + (u/4)²): u for small u, ±4 for large.
// Shapes: b [N, D, r]; e [N, D]; returns [N, D, r], laid out as b.
// Cost: in float32 on the CPU one pass, and one for the gradient in b, where the tensor operations
// of bounded_factor_plain make seven and ten: twice the cost of the order-2 loss itself. A gradient
// in e and a derivative of the gradient go through the plain form.
at::Tensor bounded_factor(const at::Tensor& raw, const at::Tensor& scale);
at::Tensor bounded_factor_plain(const at::Tensor& raw, const at::Tensor& scale);

}  // namespace scorejet::models
