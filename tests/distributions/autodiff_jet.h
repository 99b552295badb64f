// The jet of a density by automatic differentiation of its log_density: what evaluate() is held to.
#pragma once

#include <ATen/ATen.h>
#include <torch/autograd.h>

#include <vector>

#include "scorejet/distribution.h"

namespace scorejet::testing {

// s1 [B, D], s2 [B, D, D], s3 [B, D, D, D] in float64.
inline std::vector<at::Tensor> autodiff_jet(const distributions::Distribution& p,
                                            const at::Tensor& x, double sigma) {
  const at::Tensor leaf = x.detach().to(at::kDouble).clone().requires_grad_();
  const auto derivative = [&](const at::Tensor& y) {
    return torch::autograd::grad({y.sum()}, {leaf}, {}, true, true)[0];
  };
  const auto rows = [&](const at::Tensor& y) {  // [B, D] to [B, D, D]
    std::vector<at::Tensor> all;
    for (int64_t i = 0; i < p.dim(); ++i) all.push_back(derivative(y.select(1, i)));
    return at::stack(all, 1);
  };
  const at::Tensor s1 = derivative(p.log_density(leaf, at::full({}, sigma, leaf.options())));
  const at::Tensor s2 = rows(s1);
  std::vector<at::Tensor> s3;
  for (int64_t i = 0; i < p.dim(); ++i) s3.push_back(rows(s2.select(1, i)));
  return {s1.detach(), s2.detach(), at::stack(s3, 1).detach()};
}

// The largest error of order n in the batch, relative to 1 + the largest element of its row. Where
// the score is large autodiff's own terms, of size |s1|ⁿ, cancel: 1e-5 of them counts as scale.
inline double row_gap(const at::Tensor& a, const at::Tensor& b, const at::Tensor& s1) {
  const at::Tensor power = s1.abs().amax(1, true).pow(static_cast<double>(b.dim() - 1));
  const at::Tensor scale = 1 + b.flatten(1).abs().amax(1, true) + 1e-5 * power;
  return ((a - b).flatten(1).abs() / scale).max().item<double>();
}

// The row_gap of the three orders.
inline std::vector<double> jet_gaps(const score::Jet& jet,
                                    const std::vector<at::Tensor>& expected) {
  const at::Tensor& s1 = expected[0];
  return {row_gap(jet.s1, s1, s1), row_gap(jet.s2->dense(), expected[1], s1),
          row_gap(jet.s3->dense(), expected[2], s1)};
}

}  // namespace scorejet::testing
