// Squared lengths of a factor's rows: the diagonal of F Fᵀ.
#pragma once

#include <ATen/core/Tensor.h>

namespace scorejet::linalg {

// Σ_k F_ik², [B, D], from F [B, D, r]. Cost: one pass over F in float32 on the CPU where no
// gradient is asked for and either a sample's columns or its rows lie together; elsewhere as
// row_squares_plain, which makes F² first.
at::Tensor row_squares(const at::Tensor& factor);
at::Tensor row_squares_plain(const at::Tensor& factor);

}  // namespace scorejet::linalg
