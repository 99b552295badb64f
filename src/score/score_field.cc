#include "scorejet/score_field.h"

#include <ATen/ATen.h>

#include "src/base/check.h"

namespace scorejet::score {

Jet ScoreField::evaluate(const at::Tensor& x, double sigma, int order) const {
  return evaluate(x, at::full({}, sigma, x.options()), order);
}

at::Tensor ScoreField::log_density(const at::Tensor&, const at::Tensor&) const {
  base::fail_argument("score::ScoreField::log_density",
                      "the field must know its log p; got one that knows its scores alone");
}

std::shared_ptr<const ScoreField> borrow(const ScoreField& field) {
  return {std::shared_ptr<void>(), &field};
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
