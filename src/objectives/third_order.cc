#include "src/objectives/third_order.h"

#include <ATen/ATen.h>

#include "src/base/check.h"

namespace scorejet::objectives {
namespace {

using linalg::SymmetricOperator;
using linalg::SymmetricTensor;

void check_third(const char* where, const at::Tensor& s1, const SymmetricTensor& s3,
                 const at::Tensor& z, const at::Tensor& sigma) {
  base::check_shape(where, "z", z, {s3.batch(), s3.dim()});
  base::check_shape(where, "s1", s1, z.sizes());
  base::check_shape(where, "sigma", sigma, {z.size(0)});
}

// C = I + σ² s2, held constant
SymmetricOperator posterior_shape(const SymmetricOperator& s2, const at::Tensor& sigma) {
  return s2.detach().affine(at::ones_like(sigma), sigma.square());
}

// ⟨s3, Y⟩, Y = r⊗r⊗r − 3 sym(C⊗r)
at::Tensor third_target_product(const SymmetricTensor& s3, const SymmetricOperator& c,
                                const at::Tensor& r) {
  return s3.cubic_form(r) - 3 * s3.inner(c, r);
}

// ⟨s3, Y⟩/σ³
at::Tensor linear_part(const ThirdOrderPoint& point, const at::Tensor& z, const at::Tensor& sigma) {
  const at::Tensor r = z + sigma.unsqueeze(-1) * point.s1.detach();
  return third_target_product(point.s3, posterior_shape(point.s2, sigma), r) / sigma.pow(3);
}

// Of two control variates, one a sample; held constant. [B]
struct Coefficients {
  at::Tensor first, second;
};

// argmin over [0, 1]² of Σ (y − mean y − a u − b v)² over some samples, drawn to 1 where they say
// nothing (s3 = 0). Scalars.
Coefficients least_squares(const at::Tensor& y, const at::Tensor& u, const at::Tensor& v) {
  constexpr double kRidge = 1e-3, kTiny = 1e-30;
  const at::Tensor uu = u.square().sum(), uv = (u * v).sum(), vv = v.square().sum();
  const at::Tensor rest = y - y.mean() - u - v;  // at a = b = 1
  const at::Tensor ru = (rest * u).sum(), rv = (rest * v).sum();
  const at::Tensor a = uu * (1 + kRidge) + kTiny, c = vv * (1 + kRidge) + kTiny;
  const at::Tensor determinant = a * c - uv.square();
  return {(1 + (c * ru - uv * rv) / determinant).clamp(0, 1),
          (1 + (a * rv - uv * ru) / determinant).clamp(0, 1)};
}

// Each half of the batch gets the coefficients of the other.
Coefficients fit_coefficients(const at::Tensor& y, const at::Tensor& u, const at::Tensor& v) {
  const int64_t size = y.size(0), half = size / 2;
  if (half < 2) return {at::ones_like(y), at::ones_like(y)};
  const auto on = [&](int64_t first, int64_t count) {
    const auto part = [&](const at::Tensor& x) {
      return x.detach().narrow(0, first, count).to(at::kDouble);
    };
    return least_squares(part(y), part(u), part(v));
  };
  const Coefficients of_first = on(0, half), of_second = on(half, size - half);
  const auto join = [&](const at::Tensor& first, const at::Tensor& second) {
    return at::cat({first.expand({half}), second.expand({size - half})}).to(y.scalar_type());
  };
  return {join(of_second.first, of_first.first), join(of_second.second, of_first.second)};
}

}  // namespace

at::Tensor third_order_loss(const ThirdOrderPoint& at_noisy, const at::Tensor& z,
                            const at::Tensor& sigma) {
  check_third("objectives::third_order_loss", at_noisy.s1, at_noisy.s3, z, sigma);
  return 0.5 * at_noisy.s3.frobenius_squared() + linear_part(at_noisy, z, sigma);
}

at::Tensor hermite_product(const SymmetricTensor& s3, const SymmetricOperator& s2,
                           const at::Tensor& z, const at::Tensor& sigma) {
  const SymmetricOperator c = posterior_shape(s2, sigma);
  const at::Tensor w = c.apply(z);
  return s3.cubic_form(w) - 3 * s3.inner_square(c, w);
}

at::Tensor third_order_loss_antithetic(const ThirdOrderPoint& plus, const ThirdOrderPoint& minus,
                                       const ThirdOrderPoint& clean, const at::Tensor& slope,
                                       const at::Tensor& z, const at::Tensor& sigma,
                                       const at::Tensor& coefficient) {
  constexpr const char* kWhere = "objectives::third_order_loss_antithetic";
  check_third(kWhere, clean.s1, clean.s3, z, sigma);
  base::check_shape(kWhere, "slope", slope, sigma.sizes());
  const at::Tensor half_norms = 0.25 * (plus.s3.frobenius_squared() + minus.s3.frobenius_squared());
  const at::Tensor pair = 0.5 * (linear_part(plus, z, sigma) + linear_part(minus, -z, sigma));
  const SymmetricOperator c = posterior_shape(clean.s2, sigma);
  const at::Tensor s1 = clean.s1.detach();
  const at::Tensor even =
      3 * ((clean.s3.apply(c.apply(z)) * s1).sum(-1) - clean.s3.inner_square(c, s1));
  // The regression sees every sample at the same scale, whatever its σ.
  const Coefficients a = fit_coefficients(pair * sigma.pow(3), slope * sigma, even * sigma);
  const at::Tensor variates = (a.first * slope + a.second * even) / sigma.square();
  return half_norms + pair - (coefficient.defined() ? coefficient.detach() * variates : variates);
}

}  // namespace scorejet::objectives
