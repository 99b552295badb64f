#include "src/linalg/submatrix.h"

#include <ATen/ATen.h>

#include "src/base/check.h"

namespace scorejet::linalg {

void check_indices(const char* where, const at::Tensor& indices, int64_t dim) {
  base::check_shape(where, "indices", indices, {-1});
  if (indices.scalar_type() != at::kLong || indices.numel() == 0) {
    base::fail_argument(where, "indices must be int64 and not empty; got {} of {}", indices.numel(),
                        at::toString(indices.scalar_type()));
  }
  const auto least = indices.min().item<int64_t>(), most = indices.max().item<int64_t>();
  if (least < 0 || most >= dim) {
    base::fail_argument(where, "indices must lie between 0 and D - 1 = {}; got {} to {}", dim - 1,
                        least, most);
  }
  const at::Tensor counts = at::bincount(indices);
  if (counts.max().item<int64_t>() > 1) {
    base::fail_argument(where, "indices must be distinct; got coordinate {} more than once",
                        counts.argmax().item<int64_t>());
  }
}

SymmetricOperator principal_submatrix(const SymmetricOperator& op, const at::Tensor& indices) {
  check_indices("linalg::principal_submatrix", indices, op.dim());
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
