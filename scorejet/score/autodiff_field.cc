#include "scorejet/score/autodiff_field.h"

#include <ATen/ATen.h>
#include <torch/autograd.h>

#include <algorithm>
#include <vector>

#include "scorejet/base/check.h"

namespace scorejet::score {
namespace {

// x as a leaf of its own and s1 there, with the graph between them.
struct Graph {
  at::Tensor x, s1;
};

Graph trace(const char* where, const ScoreField& field, const at::Tensor& x,
            const at::Tensor& sigma) {
  at::AutoGradMode enabled(true);
  const at::Tensor leaf = x.detach().requires_grad_();
  const at::Tensor s1 = field.evaluate(leaf, sigma, 1).s1;
  if (!s1.requires_grad()) {
    base::fail_argument(where,
                        "s1 of the field must be differentiable in x; got one without graph");
  }
  return {leaf, s1};
}

// vᵀ ∂y/∂x, row by row.
at::Tensor pull_back(const at::Tensor& y, const at::Tensor& x, const at::Tensor& v, bool again) {
  return torch::autograd::grad({y}, {x}, {v}, /*retain_graph=*/true, /*create_graph=*/again)[0];
}

// ∂s2_ij/∂x_l at a few points, [B, D, D, D].
at::Tensor hessian_derivative(const char* where, const ScoreField& field, const at::Tensor& x,
                              const at::Tensor& sigma) {
  at::AutoGradMode enabled(true);
  const at::Tensor leaf = x.detach().requires_grad_();
  const at::Tensor s2 = field.evaluate(leaf, sigma, 2).s2->dense();
  if (!s2.requires_grad()) {
    base::fail_argument(where,
                        "s2 of the field must be differentiable in x; got one without graph");
  }
  // As for J v below: the derivative along e_l of all entries at once.
  const at::Tensor u = at::zeros_like(s2).requires_grad_();
  const at::Tensor pulled = pull_back(s2, leaf, u, true);
  std::vector<at::Tensor> slices;
  for (int64_t l = 0; l < x.size(1); ++l) {
    at::Tensor unit = at::zeros_like(pulled);
    unit.select(1, l).fill_(1);
    slices.push_back(pull_back(pulled, u, unit, false).detach());
  }
  return at::stack(slices, 3);
}

}  // namespace

Jet AutodiffField::evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const {
  constexpr const char* kWhere = "score::AutodiffField::evaluate";
  base::check_shape(kWhere, "x", x, {-1, dim()});
  if (order < 1 || order > 2) {
    base::fail_argument(kWhere, "order must be 1 or 2; got {}", order);
  }
  if (order == 1) return {field_.evaluate(x, sigma, 1).s1.detach()};
  const Graph graph = trace(kWhere, field_, x, sigma);
  std::vector<at::Tensor> rows;
  for (int64_t i = 0; i < dim(); ++i) {
    at::Tensor unit = at::zeros_like(graph.s1);
    unit.select(1, i).fill_(1);
    rows.push_back(pull_back(graph.s1, graph.x, unit, false));
  }
  const at::Tensor jacobian = at::stack(rows, 1);  // row i is ∂s1_i/∂x
  return {graph.s1.detach(),
          linalg::SymmetricOperator::from_dense(0.5 * (jacobian + jacobian.transpose(1, 2)))};
}

at::Tensor jacobian_vector_product(const ScoreField& field, const at::Tensor& x,
                                   const at::Tensor& sigma, const at::Tensor& v, bool transposed) {
  constexpr const char* kWhere = "score::jacobian_vector_product";
  base::check_shape(kWhere, "x", x, {-1, field.dim()});
  base::check_shape(kWhere, "v", v, x.sizes());
  const Graph graph = trace(kWhere, field, x, sigma);
  if (transposed) return pull_back(graph.s1, graph.x, v, false);
  // u ↦ Jᵀu is linear, so its own derivative by u, applied to v, is J v.
  at::AutoGradMode enabled(true);
  const at::Tensor u = at::zeros_like(graph.s1).requires_grad_();
  const at::Tensor pulled = pull_back(graph.s1, graph.x, u, true);
  return pull_back(pulled, u, v, false).detach();
}

linalg::SymmetricTensor third_by_autodiff(const ScoreField& field, const at::Tensor& x,
                                          const at::Tensor& sigma) {
  constexpr const char* kWhere = "score::third_by_autodiff";
  constexpr int64_t kChunk = 256;  // points: bounds the graph and the derivative's temporaries
  base::check_shape(kWhere, "x", x, {-1, field.dim()});
  if (field.max_order() < 2) {
    base::fail_argument(kWhere, "the field must have an s2; got one of order {}",
                        field.max_order());
  }
  const at::Tensor levels = broadcast_sigma(kWhere, x, sigma, true);
  const int64_t d = x.size(1);
  at::Tensor result = at::empty({x.size(0), d, d, d}, x.options().requires_grad(false));
  for (int64_t first = 0; first < x.size(0); first += kChunk) {
    const int64_t count = std::min(kChunk, x.size(0) - first);
    const at::Tensor t = hessian_derivative(kWhere, field, x.narrow(0, first, count),
                                            levels.narrow(0, first, count));
    // Symmetric in its first two indices already.
    result.narrow(0, first, count).copy_((t + t.transpose(2, 3) + t.transpose(1, 3)) / 3);
  }
  return linalg::SymmetricTensor::from_dense(result);
}

}  // namespace scorejet::score
