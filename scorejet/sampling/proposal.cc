#include "scorejet/sampling/proposal.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "scorejet/linalg/matrix_function.h"

namespace scorejet::sampling {
namespace {

// Q v or Qᵀ v, v [C, D].
at::Tensor rotate(const at::Tensor& vectors, const at::Tensor& v, bool transposed) {
  if (!vectors.defined()) return v;
  const at::Tensor matrix = transposed ? vectors.transpose(1, 2) : vectors;
  return at::matmul(matrix, v.unsqueeze(-1)).squeeze(-1);
}

}  // namespace

Gaussian langevin_proposal(const ChainState& state, const at::Tensor& step_size,
                           const KernelOptions&) {
  const at::Tensor epsilon = step_size.unsqueeze(-1);
  return {state.x + epsilon * state.jet.s1, (2 * epsilon).expand_as(state.x), {}, {}};
}

at::Tensor ozaki_drift(const at::Tensor& lambda, const at::Tensor& epsilon, double max_growth) {
  return epsilon * linalg::phi1((epsilon * lambda).clamp_max(max_growth));
}

at::Tensor ozaki_variance(const at::Tensor& lambda, const at::Tensor& epsilon, double max_growth) {
  return 2 * epsilon * linalg::phi1((2 * epsilon * lambda).clamp_max(2 * max_growth));
}

Gaussian ozaki_proposal(const ChainState& state, const at::Tensor& step_size,
                        const KernelOptions& options) {
  const at::Tensor epsilon = step_size.unsqueeze(-1);
  Gaussian result;
  const at::Tensor drift = ozaki_drift(state.eigenvalues, epsilon, options.max_growth) *
                           rotate(state.eigenvectors, state.jet.s1, true);
  result.mean = state.x + rotate(state.eigenvectors, drift, false);
  result.variance = ozaki_variance(state.eigenvalues, epsilon, options.max_growth);
  result.vectors = state.eigenvectors;
  result.bounded = step_size * state.eigenvalues.amax(-1) > options.max_growth;
  return result;
}

at::Tensor draw(const Gaussian& gaussian, const at::Tensor& noise) {
  return gaussian.mean + rotate(gaussian.vectors, gaussian.variance.sqrt() * noise, false);
}

at::Tensor log_density(const Gaussian& gaussian, const at::Tensor& x) {
  const at::Tensor residual = rotate(gaussian.vectors, x - gaussian.mean, true).to(at::kDouble);
  const at::Tensor variance = gaussian.variance.to(at::kDouble);
  return -0.5 * (residual.square() / variance + (2 * std::numbers::pi * variance).log()).sum(-1);
}

at::Tensor line_difference(const std::vector<ChainState>& states) {
  const at::Tensor d =
      (states.back().x - states.front().x) / static_cast<double>(states.size() - 1);
  at::Tensor sum = at::zeros({d.size(0)}, d.options().dtype(at::kDouble));
  for (size_t i = 0; i + 1 < states.size(); ++i) {
    const score::Jet &from = states[i].jet, &to = states[i + 1].jet;
    sum += ((from.s1 + to.s1) * d).sum(-1, false, at::kDouble) / 2;
  }
  // The slopes at inner points cancel.
  const at::Tensor bend =
      states.front().jet.s2->quadratic_form(d) - states.back().jet.s2->quadratic_form(d);
  return sum + bend.to(at::kDouble) / 12;
}

}  // namespace scorejet::sampling
