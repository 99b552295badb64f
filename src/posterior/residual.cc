#include "src/posterior/residual.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "src/base/check.h"

namespace scorejet::posterior {

double peak_signal_to_noise(const at::Tensor& clean, const at::Tensor& estimate, double peak) {
  base::check_shape("posterior::peak_signal_to_noise", "estimate", estimate, clean.sizes());
  const double mse = (clean - estimate).to(at::kDouble).square().mean().item<double>();
  return 10 * std::log10(peak * peak / mse);
}

at::Tensor structural_similarity(const at::Tensor& clean, const at::Tensor& estimate,
                                 at::IntArrayRef image_shape, double peak) {
  constexpr const char* kWhere = "posterior::structural_similarity";
  constexpr int64_t kSide = 11;
  constexpr double kSd = 1.5;
  const int64_t channels = image_shape[0], height = image_shape[1], width = image_shape[2];
  base::check_shape(kWhere, "clean", clean, {-1, channels * height * width});
  base::check_shape(kWhere, "estimate", estimate, clean.sizes());
  if (std::min(height, width) < kSide) {
    base::fail_argument(kWhere, "images must have sides of at least {}; got {} x {}", kSide, height,
                        width);
  }
  const auto image = [&](const at::Tensor& t) {
    return t.to(at::kDouble).reshape({-1, 1, height, width});
  };
  const at::Tensor x = image(clean), y = image(estimate);
  const at::Tensor offset = at::arange(kSide, x.options()) - static_cast<double>(kSide / 2);
  at::Tensor window = (-0.5 * (offset / kSd).square()).exp();
  window = window / window.sum();
  const auto blur = [&](const at::Tensor& t) {  // along columns, then rows
    return at::conv2d(at::conv2d(t, window.view({1, 1, kSide, 1})), window.view({1, 1, 1, kSide}));
  };
  const double c1 = 0.01 * 0.01 * peak * peak, c2 = 0.03 * 0.03 * peak * peak;
  const at::Tensor mean_x = blur(x), mean_y = blur(y);
  const at::Tensor variance_x = blur(x.square()) - mean_x.square();
  const at::Tensor variance_y = blur(y.square()) - mean_y.square();
  const at::Tensor covariance = blur(x * y) - mean_x * mean_y;
  const at::Tensor similarity =
      (2 * mean_x * mean_y + c1) * (2 * covariance + c2) /
      ((mean_x.square() + mean_y.square() + c1) * (variance_x + variance_y + c2));
  return similarity.view({clean.size(0), -1}).mean(-1);
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
