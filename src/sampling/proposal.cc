#include "src/sampling/proposal.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

namespace scorejet::sampling {

at::Tensor rotate(const at::Tensor& vectors, const at::Tensor& v, bool transposed) {
  if (!vectors.defined()) return v;
  const at::Tensor matrix = transposed ? vectors.transpose(1, 2) : vectors;
  return at::matmul(matrix, v.unsqueeze(-1)).squeeze(-1);
}

at::Tensor draw(const Gaussian& gaussian, const at::Tensor& noise) {
  return gaussian.mean + rotate(gaussian.vectors, gaussian.variance.sqrt() * noise, false);
}

at::Tensor log_density(const Gaussian& gaussian, const at::Tensor& x) {
  const at::Tensor residual = rotate(gaussian.vectors, x - gaussian.mean, true).to(at::kDouble);
  const at::Tensor variance = gaussian.variance.to(at::kDouble);
  return -0.5 * (residual.square() / variance + (2 * std::numbers::pi * variance).log()).sum(-1);
}

at::Tensor line_difference(const std::vector<LinePoint>& points) {
  const at::Tensor d =
      (points.back().x - points.front().x) / static_cast<double>(points.size() - 1);
  at::Tensor sum = at::zeros({d.size(0)}, d.options().dtype(at::kDouble));
  for (size_t i = 0; i + 1 < points.size(); ++i) {
    const score::Jet &from = points[i].jet, &to = points[i + 1].jet;
    sum += ((from.s1 + to.s1) * d).sum(-1, false, at::kDouble) / 2;
  }
  // The slopes at inner points cancel.
  const at::Tensor bend =
      points.front().jet.s2->quadratic_form(d) - points.back().jet.s2->quadratic_form(d);
  return sum + bend.to(at::kDouble) / 12;
}

}  // namespace scorejet::sampling
