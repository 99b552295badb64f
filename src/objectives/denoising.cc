#include "src/objectives/denoising.h"

#include <ATen/ATen.h>

#include "src/base/check.h"
#include "src/objectives/fused_hessian_loss.h"

namespace scorejet::objectives {
namespace {

using linalg::Structure;
using linalg::SymmetricOperator;

void check(const char* where, const at::Tensor& s1, const at::Tensor& z, const at::Tensor& sigma) {
  base::check_shape(where, "z", z, {-1, -1});
  base::check_shape(where, "s1", s1, z.sizes());
  base::check_shape(where, "sigma", sigma, {z.size(0)});
}

// What the loss is about: the operator h that is fitted, and v with target −(I − vvᵀ)/σ².
struct Fit {
  SymmetricOperator h;
  at::Tensor v;
};

Fit fit(Form form, const at::Tensor& s1, const SymmetricOperator& s2, const at::Tensor& z,
        const at::Tensor& sigma) {
  if (form == Form::kSketch) {
    base::fail_argument("objectives::hessian_loss", "the sketch form is sketch_loss()");
  }
  const at::Tensor held = s1.detach();
  if (form == Form::kCentred) return {s2, z + sigma.unsqueeze(-1) * held};
  if (s2.structure() == Structure::kDiagonal) {
    return {SymmetricOperator::from_diagonal(s2.diagonal_part() + held.square()), z};
  }
  return {s2.plus_outer(held), z};
}

// ⟨(I − vvᵀ)/σ², h⟩
at::Tensor target_product(const Fit& f, const at::Tensor& sigma) {
  return (f.h.trace() - f.h.quadratic_form(f.v)) / sigma.square();
}

}  // namespace

const char* form_name(Form form) {
  return form == Form::kProduct ? "product" : form == Form::kCentred ? "centred" : "sketch";
}

Form parse_form(const std::string& text) {
  if (text == "product") return Form::kProduct;
  if (text == "centred") return Form::kCentred;
  if (text == "sketch") return Form::kSketch;
  base::fail_argument("objectives::parse_form",
                      "form must be centred, product or sketch; got \"{}\"", text);
}

at::Tensor score_loss(const at::Tensor& s1, const at::Tensor& z, const at::Tensor& sigma) {
  check("objectives::score_loss", s1, z, sigma);
  return (s1 + z / sigma.unsqueeze(-1)).square().sum(-1);
}

at::Tensor score_loss_antithetic(const at::Tensor& s1_plus, const at::Tensor& s1_minus,
                                 const at::Tensor& z, const at::Tensor& sigma) {
  check("objectives::score_loss_antithetic", s1_plus, z, sigma);
  check("objectives::score_loss_antithetic", s1_minus, z, sigma);
  return 0.5 * (s1_plus.square().sum(-1) + s1_minus.square().sum(-1)) +
         (z * (s1_plus - s1_minus)).sum(-1) / sigma;
}

at::Tensor variate_coefficient(const at::Tensor& share) {
  constexpr double kFull = 0.04, kNone = 0.16;
  return ((kNone - share) / (kNone - kFull)).clamp(0, 1);
}

at::Tensor variate_coefficient(const SymmetricOperator& s2_clean, const at::Tensor& sigma) {
  at::NoGradGuard no_grad;
  const at::Tensor norm = s2_clean.detach().frobenius_squared();
  return variate_coefficient(sigma.pow(4) * norm / static_cast<double>(s2_clean.dim()));
}

at::Tensor hessian_loss_plain(Form form, const at::Tensor& s1, const SymmetricOperator& s2,
                              const at::Tensor& z, const at::Tensor& sigma) {
  check("objectives::hessian_loss", s1, z, sigma);
  const Fit f = fit(form, s1, s2, z, sigma);
  return 0.5 * f.h.frobenius_squared() + target_product(f, sigma);
}

at::Tensor hessian_loss_antithetic_plain(Form form, const at::Tensor& s1,
                                         const SymmetricOperator& s2, const at::Tensor& z,
                                         const at::Tensor& sigma, const at::Tensor& coefficient) {
  const int64_t size = z.size(0);
  base::check_shape("objectives::hessian_loss_antithetic", "s1", s1, {3 * size, z.size(1)});
  base::check_shape("objectives::hessian_loss_antithetic", "s2's diagonal", s2.diagonal(),
                    {3 * size, z.size(1)});
  const auto s1_at = [&](int64_t point) { return s1.narrow(0, point * size, size); };
  const auto s2_at = [&](int64_t point) { return s2.slice(point * size, size); };
  const at::Tensor pair = 0.5 * (hessian_loss_plain(form, s1_at(0), s2_at(0), z, sigma) +
                                 hessian_loss_plain(form, s1_at(1), s2_at(1), -z, sigma));
  // The control variate needs zero mean over z given x: w = C z, without s1.
  const SymmetricOperator s2_clean = s2_at(2);
  const SymmetricOperator h = fit(form, s1_at(2), s2_clean, z, sigma).h;
  const auto weighed = [&](const at::Tensor& variate) {
    return coefficient.defined() ? coefficient.detach() * variate : variate;
  };
  if (form == Form::kProduct) return pair - weighed(target_product({h, z}, sigma));
  const SymmetricOperator c = s2_clean.detach().affine(at::ones_like(sigma), sigma.square());
  return pair -
         weighed((linalg::congruence_trace(h, c) - h.quadratic_form(c.apply(z))) / sigma.square());
}

at::Tensor hessian_loss(Form form, const at::Tensor& s1, const SymmetricOperator& s2,
                        const at::Tensor& z, const at::Tensor& sigma) {
  if (!can_fuse_hessian_loss(form, s1, s2, z, sigma) || s1.size(0) != z.size(0)) {
    return hessian_loss_plain(form, s1, s2, z, sigma);
  }
  return fused_hessian_loss(form, s1, s2, z, sigma);
}

at::Tensor hessian_loss_antithetic(Form form, const at::Tensor& s1, const SymmetricOperator& s2,
                                   const at::Tensor& z, const at::Tensor& sigma,
                                   const at::Tensor& coefficient) {
  if (!can_fuse_hessian_loss(form, s1, s2, z, sigma) || s1.size(0) != 3 * z.size(0)) {
    return hessian_loss_antithetic_plain(form, s1, s2, z, sigma, coefficient);
  }
  return fused_hessian_loss(form, s1, s2, z, sigma, coefficient);
}

at::Tensor sketch_loss(const SymmetricOperator& s2, const at::Tensor& v, const at::Tensor& jv) {
  base::check_shape("objectives::sketch_loss", "v", v, {s2.batch(), s2.dim()});
  base::check_shape("objectives::sketch_loss", "jv", jv, v.sizes());
  return 0.5 * (s2.apply(v) - jv.detach()).square().sum(-1);
}

}  // namespace scorejet::objectives
