#include "scorejet/posterior/residual.h"

#include <ATen/ATen.h>

#include <cmath>

#include "scorejet/base/check.h"

namespace scorejet::posterior {

double peak_signal_to_noise(const at::Tensor& clean, const at::Tensor& estimate, double peak) {
  base::check_shape("posterior::peak_signal_to_noise", "estimate", estimate, clean.sizes());
  const double mse = (clean - estimate).to(at::kDouble).square().mean().item<double>();
  return 10 * std::log10(peak * peak / mse);
}

at::Tensor energy_share(const at::Tensor& residual, const at::Tensor& components) {
  const at::Tensor coefficients = components.dim() == 2
                                      ? at::matmul(residual, components.t())
                                      : at::matmul(components, residual.unsqueeze(-1)).squeeze(-1);
  return coefficients.square().sum(-1) / residual.square().sum(-1);
}

at::Tensor principal_directions(const at::Tensor& residuals, int64_t k) {
  base::check_shape("posterior::principal_directions", "residuals", residuals, {-1, -1});
  if (k < 1 || k > residuals.size(1)) {
    base::fail_argument("posterior::principal_directions",
                        "k must lie between 1 and D = {}; got {}", residuals.size(1), k);
  }
  const at::Tensor second_moment = at::matmul(residuals.t(), residuals).to(at::kDouble);
  const auto [values, vectors] = at::linalg_eigh(second_moment);
  return vectors.narrow(1, residuals.size(1) - k, k)
      .flip({1})
      .t()
      .contiguous()
      .to(residuals.scalar_type());
}

}  // namespace scorejet::posterior
