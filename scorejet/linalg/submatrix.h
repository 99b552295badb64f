// Some coordinates of a batch of symmetric operators. Add other ways to cut one down here.
#pragma once

#include <ATen/core/Tensor.h>

#include "scorejet/linalg/symmetric_operator.h"

namespace scorejet::linalg {

// The rows and columns of some coordinates, in their order: A_ij for i, j in `indices` (int64, [m],
// distinct), in the same structure. Errors: std::invalid_argument for type, shape, coordinates out
// of range or repeated.
SymmetricOperator principal_submatrix(const SymmetricOperator& op, const at::Tensor& indices);

}  // namespace scorejet::linalg
