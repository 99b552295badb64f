#include "src/objectives/likelihood.h"

#include <ATen/ATen.h>

#include <limits>

#include "src/base/check.h"
#include "src/objectives/terms.h"

namespace scorejet::objectives {
namespace {

using linalg::Structure;
using linalg::SymmetricOperator;

constexpr const char* kWhere = "objectives::likelihood_loss";

// `values` [B, k], positive where the row's matrix is positive definite. On an accelerator reading
// them would wait for it: there the loss is NaN instead.
void check_definite(const at::Tensor& values) {
  if (!values.device().is_cpu()) return;
  const at::Tensor bad = (values > 0).all(-1).logical_not();
  if (!bad.any().item<bool>()) return;
  const int64_t row = at::nonzero(bad)[0][0].item<int64_t>();
  base::fail_domain(kWhere,
                    "I + sigma^2 s2 must be positive definite (parameterisation psd); got a least "
                    "entry of {} in row {}",
                    values[row].min().item<double>(), row);
}

// Lower Cholesky factor of [B, k, k].
at::Tensor lower_factor(const at::Tensor& matrix) {
  const auto [factor, info] = at::linalg_cholesky_ex(matrix);
  check_definite(1 - info.unsqueeze(-1));
  return factor.device().is_cpu() ? factor
                                  : at::where((info == 0).view({-1, 1, 1}), factor,
                                              std::numeric_limits<double>::quiet_NaN());
}

// ln det and vᵀ M⁻¹ v of M = L Lᵀ.
at::Tensor log_determinant(const at::Tensor& lower) {
  return 2 * lower.diagonal(0, -2, -1).log().sum(-1);
}

// I + σ² A; affine() would read its scale to see whether it is negative, which a square is not.
SymmetricOperator relative_covariance(const SymmetricOperator& a, const at::Tensor& sigma) {
  const at::Tensor variance = sigma.square();
  if (a.structure() != Structure::kLowRank) return a.affine(at::ones_like(sigma), variance);
  return SymmetricOperator::from_low_rank(1 + variance.unsqueeze(-1) * a.diagonal_part(),
                                          sigma.view({-1, 1, 1}) * a.factor());
}

at::Tensor inverse_form(const at::Tensor& lower, const at::Tensor& v) {
  return at::linalg_solve_triangular(lower, v.unsqueeze(-1), /*upper=*/false).square().sum({1, 2});
}

}  // namespace

at::Tensor likelihood_loss(const at::Tensor& s1, const SymmetricOperator& s2, const at::Tensor& z,
                           const at::Tensor& sigma) {
  base::check_shape(kWhere, "z", z, {-1, -1});
  base::check_shape(kWhere, "s1", s1, z.sizes());
  base::check_shape(kWhere, "sigma", sigma, {z.size(0)});
  base::check_shape(kWhere, "s2", s2.diagonal(), z.sizes());
  const at::Tensor r = (z + sigma.unsqueeze(-1) * s1.detach()).to(at::kDouble);
  const SymmetricOperator c = relative_covariance(s2, sigma);
  if (c.structure() == Structure::kDense) {
    const at::Tensor lower = lower_factor(c.matrix().to(at::kDouble));
    return 0.5 * (log_determinant(lower) + inverse_form(lower, r));
  }
  const at::Tensor d = c.diagonal_part().to(at::kDouble);
  check_definite(d.detach());
  const at::Tensor diagonal = (d.log() + r.square() / d).sum(-1);
  if (c.structure() == Structure::kDiagonal) return 0.5 * diagonal;
  // Woodbury: with W = D⁻¹ U and M = I + Uᵀ W, ln det C = ln det D + ln det M and
  // rᵀ C⁻¹ r = rᵀ D⁻¹ r − (Wᵀ r)ᵀ M⁻¹ (Wᵀ r). Where U carries most of r the two terms cancel, hence
  // float64.
  const at::Tensor u = c.factor().to(at::kDouble);
  const at::Tensor w = u / d.unsqueeze(-1);
  const at::Tensor m = at::eye(u.size(2), u.options()) + at::matmul(u.transpose(1, 2), w);
  const at::Tensor lower = lower_factor(m);
  const at::Tensor projected = at::matmul(w.transpose(1, 2), r.unsqueeze(-1)).squeeze(-1);
  return 0.5 * (diagonal + log_determinant(lower) - inverse_form(lower, projected));
}

// Of a low rank it moves the diagonal alone: the squared losses choose the leading directions, the
// likelihood what is left beside them. (Left to itself it spends the rank on strong correlations of
// small variance.)
Term likelihood_term() {
  const auto loss = [](const at::Tensor& s1, const SymmetricOperator& s2, const at::Tensor& z,
                       const at::Tensor& sigma) {
    if (s2.structure() != Structure::kLowRank) return likelihood_loss(s1, s2, z, sigma);
    const auto held = SymmetricOperator::from_low_rank(s2.diagonal_part(), s2.factor().detach());
    return likelihood_loss(s1, held, z, sigma);
  };
  return {.name = "likelihood",
          .help =
              "weight of the residual's Gaussian likelihood in the second-order loss (low_rank: "
              "moves the diagonal alone)",
          .needs_psd = true,
          .loss = loss};
}

}  // namespace scorejet::objectives
