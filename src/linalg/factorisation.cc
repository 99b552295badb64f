#include "src/linalg/factorisation.h"

#include <ATen/ATen.h>

#include "src/base/check.h"

namespace scorejet::linalg {
namespace {

constexpr const char* kFactorisationWhere = "linalg::Factorisation";

int64_t first_row(const at::Tensor& bad) { return at::nonzero(bad)[0][0].item<int64_t>(); }

at::Tensor lower_cholesky(const at::Tensor& matrix) {
  const auto [factor, info] = at::linalg_cholesky_ex(matrix);
  if ((info != 0).any().item<bool>()) {
    base::fail_domain(kFactorisationWhere,
                      "operator must be positive definite; got one that is not at row {}",
                      first_row(info != 0));
  }
  return factor;
}

at::Tensor log_of_diagonal(const at::Tensor& factor) {
  return factor.diagonal(0, 1, 2).log().sum(-1);
}

}  // namespace

Factorisation::Factorisation(const SymmetricOperator& op) {
  const at::Tensor finite = finite_rows(op);
  if (!finite.all().item<bool>()) {
    base::fail_domain(kFactorisationWhere, "operator must be finite; got NaN or infinity at row {}",
                      first_row(finite.logical_not()));
  }
  if (op.structure() == Structure::kDense) {
    cholesky_ = lower_cholesky(op.matrix().to(at::kDouble));
    return;
  }
  const at::Tensor diagonal = op.diagonal_part().to(at::kDouble);
  const at::Tensor bad = (diagonal <= 0).any(-1);
  if (bad.any().item<bool>()) {
    const int64_t row = first_row(bad);
    base::fail_domain(kFactorisationWhere, "diagonal part must be positive; got {} at row {}",
                      diagonal[row].min().item<double>(), row);
  }
  root_ = diagonal.sqrt();
  if (op.structure() == Structure::kDiagonal) return;
  scaled_ = op.factor().to(at::kDouble) / root_.unsqueeze(-1);
  cholesky_ = lower_cholesky(at::eye(op.rank(), scaled_.options()) +
                             at::matmul(scaled_.transpose(1, 2), scaled_));
}

at::Tensor Factorisation::solve(const at::Tensor& v) const {
  const bool single = v.dim() == 2;
  const at::Tensor& like = root_.defined() ? root_ : cholesky_;
  const at::IntArrayRef rows = like.sizes().slice(0, 2);
  if (single) {
    base::check_shape("linalg::Factorisation::solve", "v", v, rows);
  } else {
    base::check_shape("linalg::Factorisation::solve", "v", v, {rows[0], rows[1], -1});
  }
  at::Tensor block = (single ? v.unsqueeze(-1) : v).to(at::kDouble);
  if (root_.defined()) {
    block = block / root_.unsqueeze(-1);
    if (scaled_.defined()) {
      const at::Tensor inner = at::matmul(scaled_.transpose(1, 2), block);
      block = block - at::matmul(scaled_, at::cholesky_solve(inner, cholesky_));
    }
    block = block / root_.unsqueeze(-1);
  } else {
    block = at::cholesky_solve(block, cholesky_);
  }
  return (single ? block.squeeze(-1) : block).to(v.scalar_type());
}

at::Tensor Factorisation::log_determinant() const {
  if (!root_.defined()) return 2 * log_of_diagonal(cholesky_);
  const at::Tensor diagonal = 2 * root_.log().sum(-1);
  return scaled_.defined() ? diagonal + 2 * log_of_diagonal(cholesky_) : diagonal;
}

at::Tensor Factorisation::quadratic(const at::Tensor& v) const {
  const at::Tensor& like = root_.defined() ? root_ : cholesky_;
  base::check_shape("linalg::Factorisation::quadratic", "v", v, like.sizes().slice(0, 2));
  const at::Tensor wide = v.to(at::kDouble);
  if (!root_.defined()) {
    return at::linalg_solve_triangular(cholesky_, wide.unsqueeze(-1), /*upper=*/false)
        .square()
        .sum({1, 2});
  }
  const at::Tensor y = wide / root_;
  if (!scaled_.defined()) return y.square().sum(-1);
  const at::Tensor z =
      at::cholesky_solve(at::matmul(scaled_.transpose(1, 2), y.unsqueeze(-1)), cholesky_);
  return (y.unsqueeze(-1) - at::matmul(scaled_, z)).square().sum({1, 2}) + z.square().sum({1, 2});
}

}  // namespace scorejet::linalg
