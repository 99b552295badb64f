#include "scorejet/linalg/submatrix.h"

#include <ATen/ATen.h>

#include "scorejet/base/check.h"

namespace scorejet::linalg {

SymmetricOperator principal_submatrix(const SymmetricOperator& op, const at::Tensor& indices) {
  constexpr const char* kWhere = "linalg::principal_submatrix";
  base::check_shape(kWhere, "indices", indices, {-1});
  if (indices.scalar_type() != at::kLong || indices.numel() == 0) {
    base::fail_argument(kWhere, "indices must be int64 and not empty; got {} of {}",
                        indices.numel(), at::toString(indices.scalar_type()));
  }
  if (indices.min().item<int64_t>() < 0 || indices.max().item<int64_t>() >= op.dim()) {
    base::fail_argument(kWhere, "indices must lie between 0 and D - 1 = {}; got {} to {}",
                        op.dim() - 1, indices.min().item<int64_t>(), indices.max().item<int64_t>());
  }
  if (at::bincount(indices).max().item<int64_t>() > 1) {
    base::fail_argument(kWhere, "indices must be distinct; got coordinate {} twice",
                        at::bincount(indices).argmax().item<int64_t>());
  }
  if (op.structure() == Structure::kDense) {
    const at::Tensor here = indices.to(op.matrix().device());
    return SymmetricOperator::from_dense(op.matrix().index_select(1, here).index_select(2, here));
  }
  const at::Tensor here = indices.to(op.diagonal_part().device());
  const at::Tensor diagonal = op.diagonal_part().index_select(1, here);
  if (op.structure() == Structure::kDiagonal) return SymmetricOperator::from_diagonal(diagonal);
  return SymmetricOperator::from_low_rank(diagonal, op.factor().index_select(1, here));
}

}  // namespace scorejet::linalg
