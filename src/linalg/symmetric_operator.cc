#include "scorejet/symmetric_operator.h"

#include <ATen/ATen.h>

#include "src/base/check.h"
#include "src/linalg/row_squares.h"

namespace scorejet::linalg {
namespace {

constexpr const char* kNames[] = {"dense", "diagonal", "low_rank"};

// [B] or a scalar, ready to multiply [B, D] (or [B, D, k] with dims = 2).
at::Tensor as_column(const at::Tensor& value, int64_t dims) {
  at::Tensor column = value;
  if (value.dim() == 1) {
    for (int64_t i = 0; i < dims; ++i) column = column.unsqueeze(-1);
  }
  return column;
}

}  // namespace

const char* structure_name(Structure structure) { return kNames[static_cast<int>(structure)]; }

Structure parse_structure(const std::string& text) {
  for (int i = 0; i < 3; ++i) {
    if (text == kNames[i]) return static_cast<Structure>(i);
  }
  base::fail_argument("linalg::parse_structure",
                      "structure must be dense, diagonal or low_rank; got \"{}\"", text);
}

SymmetricOperator SymmetricOperator::from_dense(at::Tensor matrix) {
  base::check_shape("linalg::from_dense", "matrix", matrix, {-1, -1, -1});
  base::check_shape("linalg::from_dense", "matrix", matrix, {-1, matrix.size(1), matrix.size(1)});
  return {Structure::kDense, std::move(matrix), {}};
}

SymmetricOperator SymmetricOperator::from_diagonal(at::Tensor diagonal) {
  base::check_shape("linalg::from_diagonal", "diagonal", diagonal, {-1, -1});
  return {Structure::kDiagonal, std::move(diagonal), {}};
}

SymmetricOperator SymmetricOperator::from_low_rank(at::Tensor diagonal, at::Tensor factor) {
  base::check_shape("linalg::from_low_rank", "diagonal", diagonal, {-1, -1});
  base::check_shape("linalg::from_low_rank", "factor", factor,
                    {diagonal.size(0), diagonal.size(1), -1});
  return {Structure::kLowRank, std::move(diagonal), std::move(factor)};
}

int64_t SymmetricOperator::rank() const {
  if (structure_ == Structure::kDense) return dim();
  return structure_ == Structure::kLowRank ? second_.size(2) : 0;
}

const at::Tensor& SymmetricOperator::matrix() const {
  if (structure_ != Structure::kDense) throw std::logic_error("matrix() of a structured operator");
  return first_;
}

const at::Tensor& SymmetricOperator::diagonal_part() const {
  if (structure_ == Structure::kDense)
    throw std::logic_error("diagonal_part() of a dense operator");
  return first_;
}

const at::Tensor& SymmetricOperator::factor() const {
  if (structure_ != Structure::kLowRank) throw std::logic_error("factor() without a low-rank part");
  return second_;
}

at::Tensor SymmetricOperator::apply(const at::Tensor& v) const {
  const bool single = v.dim() == 2;
  if (single) {
    base::check_shape("linalg::apply", "v", v, {batch(), dim()});
  } else {
    base::check_shape("linalg::apply", "v", v, {batch(), dim(), -1});
  }
  const at::Tensor block = single ? v.unsqueeze(-1) : v;  // [B, D, k]
  at::Tensor result;
  if (structure_ == Structure::kDense) {
    result = at::matmul(first_, block);
  } else {
    result = first_.unsqueeze(-1) * block;
    if (structure_ == Structure::kLowRank) {
      result = result + at::matmul(second_, at::matmul(second_.transpose(1, 2), block));
    }
  }
  return single ? result.squeeze(-1) : result;
}

at::Tensor SymmetricOperator::diagonal() const {
  if (structure_ == Structure::kDense) return first_.diagonal(0, 1, 2);
  if (structure_ == Structure::kDiagonal) return first_;
  return first_ + row_squares(second_);
}

at::Tensor SymmetricOperator::dense() const {
  if (structure_ == Structure::kDense) return first_;
  const at::Tensor diagonal = at::diag_embed(first_);
  if (structure_ == Structure::kDiagonal) return diagonal;
  return diagonal + at::matmul(second_, second_.transpose(1, 2));
}

at::Tensor SymmetricOperator::trace() const { return diagonal().sum(-1); }

at::Tensor SymmetricOperator::frobenius_squared() const {
  if (structure_ == Structure::kDense) return first_.square().sum({1, 2});
  const at::Tensor squares = first_.square().sum(-1);
  if (structure_ == Structure::kDiagonal) return squares;
  const at::Tensor gram = at::matmul(second_.transpose(1, 2), second_);  // [B, r, r]
  return squares + 2 * (first_ * row_squares(second_)).sum(-1) + gram.square().sum({1, 2});
}

at::Tensor SymmetricOperator::quadratic_form(const at::Tensor& v) const {
  base::check_shape("linalg::quadratic_form", "v", v, {batch(), dim()});
  if (structure_ == Structure::kDense) return (apply(v) * v).sum(-1);
  const at::Tensor diagonal = (first_ * v.square()).sum(-1);
  if (structure_ == Structure::kDiagonal) return diagonal;
  const at::Tensor projected = at::matmul(second_.transpose(1, 2), v.unsqueeze(-1)).squeeze(-1);
  return diagonal + projected.square().sum(-1);
}

SymmetricOperator SymmetricOperator::plus_outer(const at::Tensor& u) const {
  base::check_shape("linalg::plus_outer", "u", u, {batch(), dim()});
  const at::Tensor column = u.unsqueeze(-1);
  switch (structure_) {
    case Structure::kDense:
      return from_dense(first_ + column * u.unsqueeze(1));
    case Structure::kDiagonal:
      return from_low_rank(first_, column);
    case Structure::kLowRank:
      break;
  }
  return from_low_rank(first_, at::cat({second_, column}, -1));
}

SymmetricOperator SymmetricOperator::affine(const at::Tensor& shift,
                                            const at::Tensor& scale) const {
  if (structure_ == Structure::kDense) {
    const at::Tensor identity = at::eye(dim(), first_.options());
    return from_dense(as_column(shift, 2) * identity + as_column(scale, 2) * first_);
  }
  const at::Tensor diagonal = as_column(shift, 1) + as_column(scale, 1) * first_;
  if (structure_ == Structure::kDiagonal) return from_diagonal(diagonal);
  if ((scale < 0).any().item<bool>()) {
    base::fail_domain("linalg::affine", "scale of a low-rank operator must be >= 0; got {}",
                      scale.min().item<double>());
  }
  return from_low_rank(diagonal, as_column(scale.sqrt(), 2) * second_);
}

SymmetricOperator SymmetricOperator::slice(int64_t first, int64_t count) const {
  return {structure_, first_.narrow(0, first, count),
          second_.defined() ? second_.narrow(0, first, count) : second_};
}

SymmetricOperator SymmetricOperator::detach() const {
  return {structure_, first_.detach(), second_.defined() ? second_.detach() : second_};
}

at::Tensor square_diagonal(const SymmetricOperator& c) {
  if (c.structure() == Structure::kDense) return c.matrix().square().sum(-1);
  const at::Tensor own = c.diagonal_part().square();
  if (c.structure() == Structure::kDiagonal) return own;
  const at::Tensor& g = c.factor();  // c² + 2 c ‖G_i‖² + G_i (GᵀG) G_iᵀ
  const at::Tensor gram = at::matmul(g.transpose(1, 2), g);
  return own + 2 * c.diagonal_part() * g.square().sum(-1) + (at::matmul(g, gram) * g).sum(-1);
}

at::Tensor congruence_trace(const SymmetricOperator& a, const SymmetricOperator& c) {
  base::check_shape("linalg::congruence_trace", "c", c.diagonal(), {a.batch(), a.dim()});
  if (a.structure() == Structure::kDense || c.structure() == Structure::kDense) {
    const at::Tensor matrix = c.dense();
    return (at::matmul(matrix, matrix) * a.dense()).sum({1, 2});
  }
  const at::Tensor diagonal = (a.diagonal_part() * square_diagonal(c)).sum(-1);
  if (a.structure() == Structure::kDiagonal) return diagonal;
  return diagonal + c.apply(a.factor()).square().sum({1, 2});
}

SymmetricOperator select_rows(const at::Tensor& mask, const SymmetricOperator& first,
                              const SymmetricOperator& second) {
  if (first.structure() != second.structure()) {
    base::fail_argument("linalg::select_rows", "operators must share one structure; got {} and {}",
                        structure_name(first.structure()), structure_name(second.structure()));
  }
  const at::Tensor vector_mask = mask.view({-1, 1}), matrix_mask = mask.view({-1, 1, 1});
  if (first.structure() == Structure::kDense) {
    return SymmetricOperator::from_dense(at::where(matrix_mask, first.matrix(), second.matrix()));
  }
  const at::Tensor a = at::where(vector_mask, first.diagonal_part(), second.diagonal_part());
  if (first.structure() == Structure::kDiagonal) return SymmetricOperator::from_diagonal(a);
  return SymmetricOperator::from_low_rank(a,
                                          at::where(matrix_mask, first.factor(), second.factor()));
}

at::Tensor finite_rows(const SymmetricOperator& op) {
  // A sum is finite only if all its terms are, and one pass; sums of large finite terms need not
  // be.
  const at::Tensor parts = op.structure() == Structure::kDense ? op.matrix() : op.diagonal_part();
  at::Tensor sums = parts.flatten(1).sum(1);
  if (op.structure() == Structure::kLowRank) sums = sums + op.factor().sum({1, 2});
  if (at::isfinite(sums).all().item<bool>()) return at::ones_like(sums, at::kBool);
  if (op.structure() == Structure::kDense) return at::isfinite(op.matrix()).all(-1).all(-1);
  const at::Tensor good = at::isfinite(op.diagonal_part()).all(-1);
  if (op.structure() == Structure::kDiagonal) return good;
  return good.logical_and(at::isfinite(op.factor()).all(-1).all(-1));
}

SymmetricOperator concatenate(const std::vector<SymmetricOperator>& parts) {
  if (parts.empty()) base::fail_argument("linalg::concatenate", "parts must not be empty");
  std::vector<at::Tensor> first, second;
  for (const SymmetricOperator& part : parts) {
    if (part.structure() != parts[0].structure()) {
      base::fail_argument("linalg::concatenate", "parts must share one structure; got {} and {}",
                          structure_name(parts[0].structure()), structure_name(part.structure()));
    }
    first.push_back(part.structure() == Structure::kDense ? part.matrix() : part.diagonal_part());
    if (part.structure() == Structure::kLowRank) second.push_back(part.factor());
  }
  switch (parts[0].structure()) {
    case Structure::kDense:
      return SymmetricOperator::from_dense(at::cat(first));
    case Structure::kDiagonal:
      return SymmetricOperator::from_diagonal(at::cat(first));
    case Structure::kLowRank:
      break;
  }
  return SymmetricOperator::from_low_rank(at::cat(first), at::cat(second));
}

}  // namespace scorejet::linalg
