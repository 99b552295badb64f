#include "scorejet/autodiff_field.h"

#include <ATen/ATen.h>
#include <torch/autograd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "src/base/check.h"

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

// J v from Jᵀ u and its graph: u ↦ Jᵀu is linear, so its own derivative by u, applied to v.
at::Tensor push_forward(const at::Tensor& pulled, const at::Tensor& u, const at::Tensor& v) {
  constexpr const char* kWhere = "score::TracedJacobian::apply";
  constexpr const char* kText = "s1 of the field must be differentiable twice by autograd; got {}";
  if (!pulled.requires_grad()) base::fail_argument(kWhere, kText, "no graph of its derivative");
  try {
    return pull_back(pulled, u, v, false);
  } catch (const c10::NotImplementedError& error) {
    const std::string text = error.what_without_backtrace();
    base::fail_argument(kWhere, kText, text.substr(0, text.find('\n')));
  }
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
  // As for J v above: the derivative along e_l of all entries at once.
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
  if (order == 1) return {field_->evaluate(x, sigma, 1).s1.detach()};
  const Graph graph = trace(kWhere, *field_, x, sigma);
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

TracedJacobian::TracedJacobian(const ScoreField& field, const at::Tensor& x,
                               const at::Tensor& sigma, int64_t copies)
    : copies_(copies) {
  constexpr const char* kWhere = "score::TracedJacobian";
  base::check_shape(kWhere, "x", x, {-1, field.dim()});
  if (copies < 1) base::fail_argument(kWhere, "copies must be >= 1; got {}", copies);
  const at::Tensor levels = broadcast_sigma(kWhere, x, sigma, true);
  const Graph graph =
      trace(kWhere, field, x.repeat_interleave(copies, 0), levels.repeat_interleave(copies, 0));
  x_ = graph.x;
  s1_ = graph.s1;
}

at::Tensor TracedJacobian::in_pieces(const at::Tensor& v, bool transposed) const {
  base::check_shape("score::TracedJacobian", "v", v, {x_.size(0) / copies_, -1, x_.size(1)});
  const int64_t rows = v.size(0), count = v.size(1);
  std::vector<at::Tensor> pieces;
  for (int64_t first = 0; first < count; first += copies_) {
    const int64_t size = std::min(copies_, count - first);
    at::Tensor piece = v.narrow(1, first, size);
    if (size < copies_) piece = at::constant_pad_nd(piece, {0, 0, 0, copies_ - size});
    piece = piece.reshape({-1, v.size(2)});
    const at::Tensor product =
        transposed ? pull_back(s1_, x_, piece, false) : push_forward(pulled_, u_, piece);
    pieces.push_back(product.detach().view({rows, copies_, -1}).narrow(1, 0, size));
  }
  return at::cat(pieces, 1);
}

at::Tensor TracedJacobian::apply_transposed(const at::Tensor& v) const {
  return in_pieces(v, true);
}

at::Tensor TracedJacobian::apply(const at::Tensor& v) const {
  if (!pulled_.defined()) {
    at::AutoGradMode enabled(true);
    u_ = at::zeros_like(s1_).requires_grad_();
    pulled_ = pull_back(s1_, x_, u_, true);
  }
  return in_pieces(v, false);
}

at::Tensor jacobian_vector_product(const ScoreField& field, const at::Tensor& x,
                                   const at::Tensor& sigma, const at::Tensor& v, bool transposed) {
  base::check_shape("score::jacobian_vector_product", "v", v, {-1, field.dim()});
  const TracedJacobian jacobian(field, x, sigma);
  const at::Tensor block = v.unsqueeze(1);
  return (transposed ? jacobian.apply_transposed(block) : jacobian.apply(block)).squeeze(1);
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
