#include "src/objectives/sketch.h"

#include <ATen/ATen.h>

#include <cmath>

#include "src/base/check.h"
#include "src/linalg/small_eigh.h"

namespace scorejet::objectives {
namespace {

void check_factor(const char* where, const linalg::SymmetricOperator& s2) {
  if (s2.structure() == linalg::Structure::kLowRank) return;
  base::fail_argument(where, "s2 must be low_rank; got {}", linalg::structure_name(s2.structure()));
}

at::Tensor row_dot(const at::Tensor& a, const at::Tensor& b) { return (a * b).sum(-1); }

// C v/σ⁴ as the Jacobian has it, no gradient, [B, m, D].
at::Tensor covariance_products(const char* where, const linalg::SymmetricOperator& s2,
                               const at::Tensor& v, const at::Tensor& jv, const at::Tensor& sigma) {
  check_factor(where, s2);
  base::check_shape(where, "v", v, {s2.batch(), -1, s2.dim()});
  base::check_shape(where, "jv", jv, v.sizes());
  base::check_shape(where, "sigma", sigma, {s2.batch()});
  return (v / sigma.square().view({-1, 1, 1}) + jv).detach();
}

// (BᵀB)⁻¹; 0 for a B of zeros.
at::Tensor inverse_gram(const at::Tensor& factor) {
  constexpr double kRidge = 1e-6;  // of the trace: columns may depend on each other
  const at::Tensor gram = at::matmul(factor.transpose(1, 2), factor);
  const at::Tensor trace = gram.diagonal(0, 1, 2).sum(-1).view({-1, 1, 1});
  const at::Tensor ridge = at::where(trace > 0, kRidge * trace, at::ones_like(trace));
  const at::Tensor root = at::linalg_cholesky(gram + ridge * at::eye(gram.size(1), gram.options()));
  return at::where(trace > 0, at::cholesky_inverse(root), at::zeros_like(gram));
}

}  // namespace

at::Tensor leading_vectors(const linalg::SymmetricOperator& s2, const at::Tensor& w,
                           double evenness) {
  constexpr const char* kWhere = "objectives::leading_vectors";
  check_factor(kWhere, s2);
  base::check_shape(kWhere, "w", w, {s2.batch(), -1, s2.rank()});
  at::NoGradGuard no_grad;
  const at::Tensor factor = s2.factor().detach();
  const auto [values, turn] = linalg::small_eigh(at::matmul(factor.transpose(1, 2), factor));
  // (BᵀB)^(−p) in its own basis: rotating w there changes nothing of its law.
  const at::Tensor scaled = values.clamp_min(1e-12).pow(-evenness).unsqueeze(1) * w;
  const at::Tensor v = at::matmul(at::matmul(scaled, turn.transpose(1, 2)), factor.transpose(1, 2));
  const double length = std::sqrt(static_cast<double>(s2.dim()));
  return v * (length / v.norm(2, -1, true).clamp_min(1e-20));
}

at::Tensor leading_loss(const linalg::SymmetricOperator& s2, const at::Tensor& v,
                        const at::Tensor& jv, const at::Tensor& sigma) {
  const at::Tensor j = covariance_products("objectives::leading_loss", s2, v, jv, sigma);
  const at::Tensor factor = s2.factor();
  const at::Tensor u = at::matmul(at::matmul(v, factor), factor.transpose(1, 2));
  return 0.5 * (row_dot(j, j) - row_dot(u, j).square() / row_dot(u, u).clamp_min(1e-30)).sum(-1);
}

at::Tensor span_loss(const linalg::SymmetricOperator& s2, const at::Tensor& v, const at::Tensor& jv,
                     const at::Tensor& sigma) {
  const at::Tensor j = covariance_products("objectives::span_loss", s2, v, jv, sigma);
  at::Tensor along, outside, unit;  // v = B along; (I − P) j; q
  {
    at::NoGradGuard no_grad;
    const at::Tensor b = s2.factor().detach();
    const at::Tensor solve = inverse_gram(b);
    along = at::matmul(at::matmul(v, b), solve);
    outside = j - at::matmul(at::matmul(at::matmul(j, b), solve), b.transpose(1, 2));
    const at::Tensor variance = 1 / sigma.square().unsqueeze(-1) + s2.diagonal();
    unit = variance.square().sum(-1) / variance.sum(-1);
  }
  // The derivative of P v for v in the span is that of B along, less what lies in the span.
  const at::Tensor moved = at::matmul(along, s2.factor().transpose(1, 2));
  return -unit * (row_dot(v, j) + row_dot(moved, outside)).sum(-1);
}

}  // namespace scorejet::objectives
