#include "scorejet/symmetric_tensor.h"

#include <ATen/ATen.h>

#include <stdexcept>

#include "src/base/check.h"

namespace scorejet::linalg {
namespace {

constexpr const char* kTensorWhere = "linalg::SymmetricTensor";

// Matrices times vectors: [B, m, n] x [B, n].
at::Tensor times(const at::Tensor& matrix, const at::Tensor& v) {
  return at::matmul(matrix, v.unsqueeze(-1)).squeeze(-1);
}

// Σ_d w_dj v_d, [B, r]
at::Tensor projections(const at::Tensor& factor, const at::Tensor& v) {
  return times(factor.transpose(1, 2), v);
}

// Σ_l T_ikl v_l of a dense tensor, [B, D, D]
at::Tensor contract(const at::Tensor& tensor, const at::Tensor& v) {
  return times(tensor, v.unsqueeze(1));
}

at::Tensor all_but_batch(const at::Tensor& x) { return x.flatten(1).sum(-1); }

}  // namespace

SymmetricTensor SymmetricTensor::from_dense(at::Tensor tensor) {
  base::check_floating(kTensorWhere, "tensor", tensor);
  base::check_shape(kTensorWhere, "tensor", tensor, {-1, -1, -1, -1});
  const int64_t d = tensor.size(1);
  base::check_shape(kTensorWhere, "tensor", tensor, {-1, d, d, d});
  return {Structure::kDense, std::move(tensor), {}, {}};
}

SymmetricTensor SymmetricTensor::from_diagonal(at::Tensor diagonal) {
  base::check_floating(kTensorWhere, "diagonal", diagonal);
  base::check_shape(kTensorWhere, "diagonal", diagonal, {-1, -1});
  return {Structure::kDiagonal, std::move(diagonal), {}, {}};
}

SymmetricTensor SymmetricTensor::from_low_rank(at::Tensor diagonal, at::Tensor weights,
                                               at::Tensor factor) {
  base::check_floating(kTensorWhere, "diagonal", diagonal);
  base::check_shape(kTensorWhere, "diagonal", diagonal, {-1, -1});
  base::check_shape(kTensorWhere, "factor", factor, {diagonal.size(0), diagonal.size(1), -1});
  base::check_shape(kTensorWhere, "weights", weights, {diagonal.size(0), factor.size(2)});
  base::check_like(kTensorWhere, "weights", weights, "diagonal", diagonal);
  base::check_like(kTensorWhere, "factor", factor, "diagonal", diagonal);
  return {Structure::kLowRank, std::move(diagonal), std::move(weights), std::move(factor)};
}

const at::Tensor& SymmetricTensor::part(const at::Tensor& tensor, Structure wanted,
                                        const char* name) const {
  if (structure_ != wanted) {
    throw std::logic_error(
        fmt::format("[{}] a {} tensor has no {}", kTensorWhere, structure_name(structure_), name));
  }
  return tensor;
}

const at::Tensor& SymmetricTensor::tensor() const {
  return part(first_, Structure::kDense, "tensor");
}
const at::Tensor& SymmetricTensor::weights() const {
  return part(weights_, Structure::kLowRank, "weights");
}
const at::Tensor& SymmetricTensor::factor() const {
  return part(factor_, Structure::kLowRank, "factor");
}
const at::Tensor& SymmetricTensor::diagonal_part() const {
  return part(first_, structure_ == Structure::kDense ? Structure::kLowRank : structure_,
              "diagonal part");
}

at::Tensor SymmetricTensor::dense() const {
  if (structure_ == Structure::kDense) return first_;
  at::Tensor result = at::diag_embed(at::diag_embed(first_));  // c at [i, i, i]
  if (structure_ == Structure::kLowRank) {
    result = result + at::einsum("bj,bij,bkj,blj->bikl", {weights_, factor_, factor_, factor_});
  }
  return result;
}

at::Tensor SymmetricTensor::diagonal() const {
  if (structure_ == Structure::kDense) return first_.diagonal(0, 1, 2).diagonal(0, 1, 2);
  if (structure_ == Structure::kDiagonal) return first_;
  return first_ + times(factor_.pow(3), weights_);
}

at::Tensor SymmetricTensor::frobenius_squared() const {
  if (structure_ != Structure::kLowRank) return all_but_batch(first_.square());
  const at::Tensor gram = at::matmul(factor_.transpose(1, 2), factor_);  // w_j·w_k
  const at::Tensor cp = (weights_ * times(gram.pow(3), weights_)).sum(-1);
  const at::Tensor cross = (first_ * times(factor_.pow(3), weights_)).sum(-1);
  return cp + 2 * cross + first_.square().sum(-1);
}

at::Tensor SymmetricTensor::apply(const at::Tensor& v) const {
  base::check_shape("linalg::SymmetricTensor::apply", "v", v, {batch(), dim()});
  if (structure_ == Structure::kDense) {
    return times(contract(first_, v), v);
  }
  const at::Tensor own = first_ * v.square();
  if (structure_ == Structure::kDiagonal) return own;
  const at::Tensor scale = weights_ * projections(factor_, v).square();
  return own + times(factor_, scale);
}

at::Tensor SymmetricTensor::cubic_form(const at::Tensor& v) const {
  if (structure_ != Structure::kLowRank) return (apply(v) * v).sum(-1);
  base::check_shape("linalg::SymmetricTensor::cubic_form", "v", v, {batch(), dim()});
  return (first_ * v.pow(3)).sum(-1) + (weights_ * projections(factor_, v).pow(3)).sum(-1);
}

at::Tensor SymmetricTensor::inner(const SymmetricOperator& a, const at::Tensor& v) const {
  base::check_shape("linalg::SymmetricTensor::inner", "v", v, {batch(), dim()});
  if (structure_ == Structure::kDense) {
    return all_but_batch(contract(first_, v) * a.dense());
  }
  const at::Tensor own = (first_ * a.diagonal() * v).sum(-1);
  if (structure_ == Structure::kDiagonal) return own;
  const at::Tensor quadratic = (factor_ * a.apply(factor_)).sum(1);  // w_jᵀ A w_j, [B, r]
  return own + (weights_ * quadratic * projections(factor_, v)).sum(-1);
}

at::Tensor SymmetricTensor::inner_square(const SymmetricOperator& c, const at::Tensor& v) const {
  base::check_shape("linalg::SymmetricTensor::inner_square", "v", v, {batch(), dim()});
  if (structure_ == Structure::kDense) {
    return all_but_batch(c.apply(contract(first_, v)) * c.dense());
  }
  const at::Tensor own = (first_ * square_diagonal(c) * v).sum(-1);
  if (structure_ == Structure::kDiagonal) return own;
  const at::Tensor quadratic = c.apply(factor_).square().sum(1);  // ‖C w_j‖², [B, r]
  return own + (weights_ * quadratic * projections(factor_, v)).sum(-1);
}

SymmetricTensor SymmetricTensor::scaled(const at::Tensor& scale) const {
  base::check_shape("linalg::SymmetricTensor::scaled", "scale", scale, {batch()});
  const at::Tensor first =
      first_ * (structure_ == Structure::kDense ? scale.view({-1, 1, 1, 1}) : scale.unsqueeze(-1));
  if (structure_ != Structure::kLowRank) return {structure_, first, {}, {}};
  return {structure_, first, weights_ * scale.unsqueeze(-1), factor_};
}

SymmetricTensor SymmetricTensor::slice(int64_t first, int64_t count) const {
  const auto rows = [&](const at::Tensor& x) {
    return x.defined() ? x.narrow(0, first, count) : x;
  };
  return {structure_, rows(first_), rows(weights_), rows(factor_)};
}

SymmetricTensor SymmetricTensor::detach() const {
  const auto held = [](const at::Tensor& x) { return x.defined() ? x.detach() : x; };
  return {structure_, held(first_), held(weights_), held(factor_)};
}

}  // namespace scorejet::linalg
