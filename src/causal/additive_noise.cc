#include "src/causal/additive_noise.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "src/base/error.h"
#include "src/base/seed.h"

namespace scorejet::causal {
namespace {

constexpr int64_t kFeatures = 200;  // of a mechanism

const auto kDouble = at::TensorOptions(at::kDouble);

double uniform(at::Generator generator) { return at::rand({1}, generator, kDouble).item<double>(); }

// Parents as places of a causal order: those of place i are below i.
std::vector<std::vector<int64_t>> erdos_renyi(int64_t d, double edges_per_node,
                                              at::Generator random) {
  const double probability = 2 * edges_per_node / static_cast<double>(d - 1);
  std::vector<std::vector<int64_t>> parents(static_cast<size_t>(d));
  for (int64_t i = 0; i < d; ++i) {
    for (int64_t k = 0; k < i; ++k) {
      if (uniform(random) < probability) parents[static_cast<size_t>(i)].push_back(k);
    }
  }
  return parents;
}

// See: Barabási and Albert 1999.
std::vector<std::vector<int64_t>> scale_free(int64_t d, int64_t edges_per_node,
                                             at::Generator random) {
  std::vector<std::vector<int64_t>> parents(static_cast<size_t>(d));
  std::vector<int64_t> ends;  // a node once for every edge at it, and once for being there
  for (int64_t i = 0; i < d; ++i) {
    std::vector<int64_t>& mine = parents[static_cast<size_t>(i)];
    while (static_cast<int64_t>(mine.size()) < std::min(edges_per_node, i)) {
      const auto place = static_cast<size_t>(uniform(random) * static_cast<double>(ends.size()));
      if (std::find(mine.begin(), mine.end(), ends[place]) == mine.end()) {
        mine.push_back(ends[place]);
      }
    }
    ends.insert(ends.end(), mine.begin(), mine.end());
    ends.insert(ends.end(), mine.size() + 1, i);
  }
  return parents;
}

at::Tensor columns(const at::Tensor& x, const std::vector<int64_t>& indices) {
  return x.index_select(1, at::tensor(indices, at::kLong));
}

}  // namespace

AdditiveNoiseModel::AdditiveNoiseModel(const AdditiveNoiseOptions& options) {
  constexpr const char* kWhere = "causal::AdditiveNoiseModel";
  const int64_t d = options.num_nodes;
  if (d < 2) base::fail_domain(kWhere, "num_nodes must be at least 2; got {}", d);
  const double most = static_cast<double>(d - 1) / 2;
  if (!(options.edges_per_node > 0 && options.edges_per_node <= most)) {
    base::fail_domain(kWhere, "edges_per_node must lie in (0, {}]; got {}", most,
                      options.edges_per_node);
  }
  at::Generator random = base::make_generator(options.seed, "additive noise model");
  const auto parents =
      options.graph == Graph::kErdosRenyi
          ? erdos_renyi(d, options.edges_per_node, random)
          : scale_free(d, static_cast<int64_t>(std::lround(options.edges_per_node)), random);
  const at::Tensor shuffled = at::randperm(d, random, at::TensorOptions(at::kLong));
  order_.assign(shuffled.data_ptr<int64_t>(), shuffled.data_ptr<int64_t>() + d);
  nodes_.resize(static_cast<size_t>(d));
  for (size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = nodes_[static_cast<size_t>(order_[i])];
    for (const int64_t k : parents[i]) node.parents.push_back(order_[static_cast<size_t>(k)]);
    const auto num_parents = static_cast<int64_t>(node.parents.size());
    node.variance = 0.4 + 0.4 * uniform(random);
    if (options.linear) {
      node.slope = at::randn({num_parents}, random, kDouble);
      continue;
    }
    node.frequency = at::randn({kFeatures, num_parents}, random, kDouble);
    node.phase = 2 * std::numbers::pi * at::rand({kFeatures}, random, kDouble);
    node.weights = std::sqrt(2.0 / kFeatures) * at::randn({kFeatures}, random, kDouble);
  }
}

int64_t AdditiveNoiseModel::num_edges() const {
  size_t edges = 0;
  for (const Node& node : nodes_) edges += node.parents.size();
  return static_cast<int64_t>(edges);
}

at::Tensor AdditiveNoiseModel::mechanism(const Node& node, const at::Tensor& parents) {
  if (node.parents.empty()) return at::zeros({parents.size(0)}, kDouble);
  if (node.slope.defined()) return at::matmul(parents, node.slope);
  return at::matmul((at::matmul(parents, node.frequency.t()) + node.phase).cos(), node.weights);
}

at::Tensor AdditiveNoiseModel::sample(int64_t count, at::Generator generator) const {
  const at::Tensor noise = at::randn({count, num_nodes()}, generator, kDouble);
  at::Tensor x = at::zeros_like(noise);
  for (const int64_t j : order_) {
    const Node& node = nodes_[static_cast<size_t>(j)];
    x.select(1, j).copy_(mechanism(node, columns(x, node.parents)) +
                         std::sqrt(node.variance) * noise.select(1, j));
  }
  return x;
}

at::Tensor AdditiveNoiseModel::log_density(const at::Tensor& x) const {
  at::Tensor sum = at::zeros({x.size(0)}, kDouble);
  for (int64_t j = 0; j < num_nodes(); ++j) {
    const Node& node = nodes_[static_cast<size_t>(j)];
    const at::Tensor residual = x.select(1, j) - mechanism(node, columns(x, node.parents));
    sum = sum - 0.5 * (residual.square() / node.variance +
                       std::log(2 * std::numbers::pi * node.variance));
  }
  return sum;
}

at::Tensor AdditiveNoiseModel::hessian_diagonal(const at::Tensor& x,
                                                const std::vector<int64_t>& present) const {
  at::Tensor all = at::zeros_like(x);
  for (const int64_t j : present) {
    const Node& node = nodes_[static_cast<size_t>(j)];
    all.select(1, j).sub_(1 / node.variance);
    if (node.parents.empty()) continue;
    const at::Tensor parents = columns(x, node.parents);
    const at::Tensor residual = x.select(1, j) - mechanism(node, parents);
    const at::Tensor angle =
        node.slope.defined() ? at::Tensor() : at::matmul(parents, node.frequency.t()) + node.phase;
    for (size_t p = 0; p < node.parents.size(); ++p) {
      const auto column = static_cast<int64_t>(p);
      at::Tensor first, second;  // of f_j along this parent
      if (node.slope.defined()) {
        first = node.slope[column];
        second = at::zeros_like(residual);
      } else {
        const at::Tensor frequency = node.frequency.select(1, column);
        first = -at::matmul(angle.sin(), node.weights * frequency);
        second = -at::matmul(angle.cos(), node.weights * frequency.square());
      }
      all.select(1, node.parents[p]).add_((residual * second - first.square()) / node.variance);
    }
  }
  return columns(all, present);
}

int64_t AdditiveNoiseModel::order_divergence(const std::vector<int64_t>& order) const {
  if (static_cast<int64_t>(order.size()) != num_nodes()) {
    base::fail_argument("causal::order_divergence", "order must hold {} nodes; got {}", num_nodes(),
                        order.size());
  }
  std::vector<size_t> place(order.size());
  for (size_t i = 0; i < order.size(); ++i) place[static_cast<size_t>(order[i])] = i;
  int64_t wrong = 0;
  for (size_t j = 0; j < nodes_.size(); ++j) {
    for (const int64_t parent : nodes_[j].parents) {
      wrong += place[static_cast<size_t>(parent)] > place[j];
    }
  }
  return wrong;
}

}  // namespace scorejet::causal
