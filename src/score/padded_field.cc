#include "src/score/padded_field.h"

#include <ATen/ATen.h>

#include <utility>

#include "src/base/check.h"

namespace scorejet::score {
namespace {

// 0 1 2 1 0 1 2 ... for size 3; [padded]
at::Tensor mirror(int64_t size, int64_t padded) {
  const int64_t period = std::max<int64_t>(2 * size - 2, 1);
  const at::Tensor place = at::arange(padded, at::kLong).remainder(period);
  return at::minimum(place, period - place);
}

// Of every entry [channels, rows, columns] of images `stride_row` wide and `stride_plane` large.
at::Tensor flat_index(int64_t channels, int64_t stride_plane, int64_t stride_row,
                      const at::Tensor& rows, const at::Tensor& columns) {
  const at::Tensor plane = at::arange(channels, at::kLong) * stride_plane;
  return (plane.view({-1, 1, 1}) + rows.view({1, -1, 1}) * stride_row + columns.view({1, 1, -1}))
      .reshape({-1});
}

linalg::SymmetricOperator narrow(const linalg::SymmetricOperator& op, const at::Tensor& kept) {
  using linalg::Structure;
  using linalg::SymmetricOperator;
  if (op.structure() == Structure::kDense) {
    return SymmetricOperator::from_dense(op.matrix().index_select(1, kept).index_select(2, kept));
  }
  const at::Tensor diagonal = op.diagonal_part().index_select(1, kept);
  if (op.structure() == Structure::kDiagonal) return SymmetricOperator::from_diagonal(diagonal);
  return SymmetricOperator::from_low_rank(diagonal, op.factor().index_select(1, kept));
}

linalg::SymmetricTensor narrow(const linalg::SymmetricTensor& tensor, const at::Tensor& kept) {
  using linalg::Structure;
  using linalg::SymmetricTensor;
  if (tensor.structure() == Structure::kDense) {
    return SymmetricTensor::from_dense(
        tensor.tensor().index_select(1, kept).index_select(2, kept).index_select(3, kept));
  }
  const at::Tensor diagonal = tensor.diagonal_part().index_select(1, kept);
  if (tensor.structure() == Structure::kDiagonal) return SymmetricTensor::from_diagonal(diagonal);
  return SymmetricTensor::from_low_rank(diagonal, tensor.weights(),
                                        tensor.factor().index_select(1, kept));
}

}  // namespace

PaddedField::PaddedField(std::shared_ptr<const ScoreField> inner,
                         const std::vector<int64_t>& inner_shape, int64_t height, int64_t width)
    : inner_(std::move(inner)) {
  constexpr const char* kWhere = "score::PaddedField";
  if (inner_shape.size() != 3 ||
      inner_shape[0] * inner_shape[1] * inner_shape[2] != inner_->dim()) {
    base::fail_argument(kWhere, "inner_shape must be {{C, H, W}} of D = {} numbers", inner_->dim());
  }
  const int64_t channels = inner_shape[0], tall = inner_shape[1], wide = inner_shape[2];
  if (height < 1 || width < 1 || height > tall || width > wide) {
    base::fail_argument(kWhere, "height and width must lie between 1 and {} x {}; got {} x {}",
                        tall, wide, height, width);
  }
  dim_ = channels * height * width;
  if (dim_ == inner_->dim()) return;
  source_ = flat_index(channels, height * width, width, mirror(height, tall), mirror(width, wide));
  kept_ = flat_index(channels, tall * wide, wide, at::arange(height, at::kLong),
                     at::arange(width, at::kLong));
}

Jet PaddedField::evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const {
  base::check_shape("score::PaddedField::evaluate", "x", x, {-1, dim()});
  if (!source_.defined()) return inner_->evaluate(x, sigma, order);
  const at::Tensor kept = kept_.to(x.device());
  const Jet padded = inner_->evaluate(x.index_select(1, source_.to(x.device())), sigma, order);
  Jet jet;
  jet.s1 = padded.s1.index_select(1, kept);
  if (padded.s2) jet.s2 = narrow(*padded.s2, kept);
  if (padded.s3) jet.s3 = narrow(*padded.s3, kept);
  return jet;
}

}  // namespace scorejet::score
