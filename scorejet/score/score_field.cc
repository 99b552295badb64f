#include "scorejet/score/score_field.h"

#include <ATen/ATen.h>

#include "scorejet/base/check.h"

namespace scorejet::score {

Jet ScoreField::evaluate(const at::Tensor& x, double sigma, int order) const {
  return evaluate(x, at::full({}, sigma, x.options()), order);
}

at::Tensor broadcast_sigma(const char* where, const at::Tensor& x, const at::Tensor& sigma,
                           bool allow_zero) {
  at::Tensor result = sigma.to(x.options());
  if (result.dim() == 0) result = result.expand({x.size(0)});
  base::check_shape(where, "sigma", result, {x.size(0)});
  if (allow_zero) {
    if (!(result >= 0).all().item<bool>()) {
      base::fail_domain(where, "sigma must be >= 0; got {}", result.min().item<double>());
    }
  } else {
    base::check_positive(where, "sigma", result);
  }
  return result;
}

}  // namespace scorejet::score
