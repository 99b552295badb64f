// Some coordinates of a batch of symmetric operators. Add other ways to cut one down here.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "scorejet/symmetric_operator.h"

namespace scorejet::linalg {

// The rows and columns of some coordinates, in their order: A_ij for i, j in `indices`, in the same
// structure. Errors: as check_indices.
SymmetricOperator principal_submatrix(const SymmetricOperator& op, const at::Tensor& indices);

// Coordinates of D: int64, [m], m >= 1, in range, distinct. Throws std::invalid_argument.
void check_indices(const char* where, const at::Tensor& indices, int64_t dim);

}  // namespace scorejet::linalg
