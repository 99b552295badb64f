#include "scorejet/objectives/sketch.h"

#include <ATen/ATen.h>

#include <cmath>

#include "scorejet/base/check.h"

namespace scorejet::objectives {

at::Tensor leading_vectors(const linalg::SymmetricOperator& s2, const at::Tensor& w) {
  constexpr const char* kWhere = "objectives::leading_vectors";
  if (s2.structure() != linalg::Structure::kLowRank) {
    base::fail_argument(kWhere, "s2 must be low_rank; got {}",
                        linalg::structure_name(s2.structure()));
  }
  base::check_shape(kWhere, "w", w, {s2.batch(), s2.rank()});
  at::NoGradGuard no_grad;
  const at::Tensor factor = s2.factor().detach();
  const auto [values, turn] = at::linalg_eigh(at::matmul(factor.transpose(1, 2), factor));
  // (BᵀB)^(−1/4) in its own basis: rotating w there changes nothing of its law.
  const at::Tensor scaled = values.clamp_min(1e-12).pow(-0.25) * w;
  const at::Tensor v = at::matmul(factor, at::matmul(turn, scaled.unsqueeze(-1))).squeeze(-1);
  const double length = std::sqrt(static_cast<double>(s2.dim()));
  return v * (length / v.norm(2, -1, true).clamp_min(1e-20));
}

}  // namespace scorejet::objectives
