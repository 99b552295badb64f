#include "scorejet/objectives/sketch.h"

#include <ATen/ATen.h>

#include <cmath>

#include "scorejet/base/check.h"

namespace scorejet::objectives {
namespace {

void check_factor(const char* where, const linalg::SymmetricOperator& s2) {
  if (s2.structure() == linalg::Structure::kLowRank) return;
  base::fail_argument(where, "s2 must be low_rank; got {}", linalg::structure_name(s2.structure()));
}

}  // namespace

at::Tensor leading_vectors(const linalg::SymmetricOperator& s2, const at::Tensor& w,
                           double evenness) {
  constexpr const char* kWhere = "objectives::leading_vectors";
  check_factor(kWhere, s2);
  base::check_shape(kWhere, "w", w, {s2.batch(), -1, s2.rank()});
  at::NoGradGuard no_grad;
  const at::Tensor factor = s2.factor().detach();
  const auto [values, turn] = at::linalg_eigh(at::matmul(factor.transpose(1, 2), factor));
  // (BᵀB)^(−p) in its own basis: rotating w there changes nothing of its law.
  const at::Tensor scaled = values.clamp_min(1e-12).pow(-evenness).unsqueeze(1) * w;
  const at::Tensor v = at::matmul(at::matmul(scaled, turn.transpose(1, 2)), factor.transpose(1, 2));
  const double length = std::sqrt(static_cast<double>(s2.dim()));
  return v * (length / v.norm(2, -1, true).clamp_min(1e-20));
}

at::Tensor leading_loss(const linalg::SymmetricOperator& s2, const at::Tensor& v,
                        const at::Tensor& jv, const at::Tensor& sigma) {
  constexpr const char* kWhere = "objectives::leading_loss";
  check_factor(kWhere, s2);
  base::check_shape(kWhere, "v", v, {s2.batch(), -1, s2.dim()});
  base::check_shape(kWhere, "jv", jv, v.sizes());
  base::check_shape(kWhere, "sigma", sigma, {s2.batch()});
  const auto dot = [](const at::Tensor& a, const at::Tensor& b) { return (a * b).sum(-1); };
  const at::Tensor factor = s2.factor();
  const at::Tensor u = at::matmul(at::matmul(v, factor), factor.transpose(1, 2));
  const at::Tensor j = (v / sigma.square().view({-1, 1, 1}) + jv).detach();
  return 0.5 * (dot(j, j) - dot(u, j).square() / dot(u, u).clamp_min(1e-30)).sum(-1);
}

}  // namespace scorejet::objectives
