#include "scorejet/objectives/third_order.h"

#include <ATen/ATen.h>

#include "scorejet/base/check.h"

namespace scorejet::objectives {
namespace {

using linalg::SymmetricOperator;
using linalg::SymmetricTensor;

void check(const char* where, const at::Tensor& s1, const SymmetricTensor& s3, const at::Tensor& z,
           const at::Tensor& sigma) {
  base::check_shape(where, "z", z, {s3.batch(), s3.dim()});
  base::check_shape(where, "s1", s1, z.sizes());
  base::check_shape(where, "sigma", sigma, {z.size(0)});
}

// ⟨s3, Y⟩, Y = r⊗r⊗r − 3 sym(C⊗r)
at::Tensor target_product(const SymmetricTensor& s3, const SymmetricOperator& c,
                          const at::Tensor& r) {
  return s3.cubic_form(r) - 3 * s3.inner(c, r);
}

}  // namespace

at::Tensor third_order_loss(const ThirdOrderPoint& at_noisy, const at::Tensor& z,
                            const at::Tensor& sigma) {
  check("objectives::third_order_loss", at_noisy.s1, at_noisy.s3, z, sigma);
  const at::Tensor r = z + sigma.unsqueeze(-1) * at_noisy.s1.detach();
  const SymmetricOperator c =
      at_noisy.s2.detach().affine(at::ones_like(sigma), sigma.square());  // I + σ² s2
  return 0.5 * at_noisy.s3.frobenius_squared() + target_product(at_noisy.s3, c, r) / sigma.pow(3);
}

at::Tensor hermite_product(const SymmetricTensor& s3, const at::Tensor& z) {
  return target_product(s3, SymmetricOperator::from_diagonal(at::ones_like(z)), z);
}

at::Tensor third_order_loss_antithetic(const ThirdOrderPoint& plus, const ThirdOrderPoint& minus,
                                       const SymmetricTensor& s3_clean, const at::Tensor& s1_clean,
                                       const at::Tensor& slope, const at::Tensor& z,
                                       const at::Tensor& sigma) {
  constexpr const char* kWhere = "objectives::third_order_loss_antithetic";
  check(kWhere, s1_clean, s3_clean, z, sigma);
  base::check_shape(kWhere, "slope", slope, sigma.sizes());
  const at::Tensor pair =
      0.5 * (third_order_loss(plus, z, sigma) + third_order_loss(minus, -z, sigma));
  // zzᵀ − I is diag(−1) + zzᵀ: low rank with one column.
  const SymmetricOperator spread =
      SymmetricOperator::from_low_rank(-at::ones_like(z), z.unsqueeze(-1));
  const at::Tensor even = 3 * s3_clean.inner(spread, s1_clean.detach());
  return pair - (slope + even) / sigma.square();
}

}  // namespace scorejet::objectives
