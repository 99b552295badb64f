// Random non-linear additive noise models, on which causal orders are judged: the true graph is
// known, and with it the exact curvature of the log-density. Change the graphs and the mechanisms
// in additive_noise.cc.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace scorejet::causal {

enum class Graph {
  kErdosRenyi,  // every pair that a random order allows is an edge with the same probability
  kScaleFree    // nodes join one by one and draw their parents in proportion to their degree
};

struct AdditiveNoiseOptions {
  Graph graph = Graph::kErdosRenyi;
  int64_t num_nodes = 10;
  double edges_per_node = 1;  // on average; a whole number for a scale-free graph
  bool linear = false;        // f_j linear: then no order can be found
  uint64_t seed = 0;          // of graph, mechanisms and noise variances
};

// x_j = f_j(parents of j) + N(0, s_j²), s_j² uniform in [0.4, 0.8], f_j drawn from a Gaussian
// process of unit variance and unit bandwidth (as 200 random Fourier features). See: Rolland et al.
// 2022, section 5.1.
class AdditiveNoiseModel {
 public:
  // Errors: std::domain_error for fewer than two nodes, or a number of edges out of reach.
  explicit AdditiveNoiseModel(const AdditiveNoiseOptions& options);

  int64_t num_nodes() const { return static_cast<int64_t>(nodes_.size()); }
  int64_t num_edges() const;

  // Independent draws [count, D], float64; a function of the generator's state alone.
  at::Tensor sample(int64_t count, at::Generator generator) const;
  // log p(x), [B]; differentiable in x by autograd. x [B, D], float64.
  at::Tensor log_density(const at::Tensor& x) const;
  // ∂² log p/∂x_j² of the marginal density of the `present` nodes, a column each in their order.
  // What is absent must have no present child (leaves removed first), so that the marginal is the
  // same model without it.
  // Math: −1/s_i² + Σ_{children j of i} [(x_j − f_j) ∂_ii f_j − (∂_i f_j)²]/s_j².
  at::Tensor hessian_diagonal(const at::Tensor& x, const std::vector<int64_t>& present) const;

  // Edges that go from a later to an earlier place of `order`, 0 for a true causal order.
  // See: Rolland et al. 2022, section 5.
  int64_t order_divergence(const std::vector<int64_t>& order) const;

 private:
  struct Node {
    std::vector<int64_t> parents;
    double variance = 1;                   // s²
    at::Tensor frequency, phase, weights;  // f(u) = Σ_m w_m cos(ω_mᵀu + φ_m); [M, P], [M], [M]
    at::Tensor slope;                      // f(u) = slopeᵀu instead, where defined; [P]
  };
  static at::Tensor mechanism(const Node& node, const at::Tensor& parents);

  std::vector<Node> nodes_;
  std::vector<int64_t> order_;  // a causal one
};

}  // namespace scorejet::causal
