#include "scorejet/tweedie.h"

#include <ATen/ATen.h>

#include <string>

#include "src/base/check.h"

namespace scorejet::score {
namespace {

constexpr int64_t kMaxOrder = 8;

at::Tensor per_row(const at::Tensor& values, const at::Tensor& like) {
  std::vector<int64_t> shape(static_cast<size_t>(like.dim()), 1);
  shape[0] = -1;
  return values.view(shape);
}

void check_order(const char* where, int64_t n) {
  if (n < 1 || n > kMaxOrder) {
    base::fail_argument(where, "order must lie between 1 and {}; got {}", kMaxOrder, n);
  }
}

// Checks that the k-th tensor has k dimensions of size D beside the batch.
void check_family(const char* where, const char* name, const std::vector<at::Tensor>& tensors) {
  check_order(where, static_cast<int64_t>(tensors.size()));
  base::check_shape(where, name, tensors[0], {-1, -1});
  std::vector<int64_t> shape{tensors[0].size(0)};
  for (const at::Tensor& tensor : tensors) {
    shape.push_back(tensors[0].size(1));
    base::check_shape(where, name, tensor, shape);
  }
}

}  // namespace

std::vector<std::vector<std::vector<int64_t>>> set_partitions(int64_t n) {
  check_order("score::set_partitions", n);
  std::vector<std::vector<std::vector<int64_t>>> partitions{{{0}}};
  for (int64_t element = 1; element < n; ++element) {
    std::vector<std::vector<std::vector<int64_t>>> longer;
    for (const auto& partition : partitions) {
      for (size_t block = 0; block <= partition.size(); ++block) {  // the last: a block of its own
        longer.push_back(partition);
        if (block == partition.size()) longer.back().emplace_back();
        longer.back()[block].push_back(element);
      }
    }
    partitions = std::move(longer);
  }
  return partitions;
}

std::vector<at::Tensor> posterior_cumulants(const at::Tensor& x, const at::Tensor& sigma,
                                            const std::vector<at::Tensor>& scores) {
  constexpr const char* kWhere = "score::posterior_cumulants";
  check_family(kWhere, "scores", scores);
  base::check_shape(kWhere, "x", x, scores[0].sizes());
  base::check_shape(kWhere, "sigma", sigma, {x.size(0)});
  std::vector<at::Tensor> cumulants;
  for (size_t i = 0; i < scores.size(); ++i) {
    const auto power = 2 * static_cast<double>(i + 1);
    cumulants.push_back(per_row(sigma.pow(power), scores[i]) * scores[i]);
  }
  cumulants[0] = cumulants[0] + x;
  if (cumulants.size() > 1) {
    const at::Tensor identity = at::eye(x.size(1), x.options());
    cumulants[1] = cumulants[1] + per_row(sigma.square(), cumulants[1]) * identity;
  }
  return cumulants;
}

at::Tensor raw_moment(const std::vector<at::Tensor>& cumulants) {
  check_family("score::raw_moment", "cumulants", cumulants);
  const auto n = static_cast<int64_t>(cumulants.size());
  const std::string all = std::string("zabcdefgh").substr(0, static_cast<size_t>(n) + 1);
  at::Tensor moment;
  for (const auto& partition : set_partitions(n)) {
    std::string equation;
    std::vector<at::Tensor> factors;
    for (const auto& block : partition) {
      equation += equation.empty() ? "z" : ",z";
      for (int64_t axis : block) equation += all[static_cast<size_t>(axis) + 1];
      factors.push_back(cumulants[block.size() - 1]);
    }
    const at::Tensor term = at::einsum(equation + "->" + all, factors);
    moment = moment.defined() ? moment + term : term;
  }
  return moment;
}

at::Tensor next_raw_moment(const at::Tensor& moment, const at::Tensor& jacobian,
                           const at::Tensor& x, const at::Tensor& sigma, const at::Tensor& s1) {
  constexpr const char* kWhere = "score::next_raw_moment";
  std::vector<int64_t> shape = moment.sizes().vec();
  shape.push_back(x.size(-1));
  base::check_shape(kWhere, "jacobian", jacobian, shape);
  base::check_shape(kWhere, "s1", s1, x.sizes());
  base::check_shape(kWhere, "sigma", sigma, {x.size(0)});
  const at::Tensor mean = x + sigma.square().unsqueeze(-1) * s1;  // σ² (s1 + x̃/σ²)
  std::vector<int64_t> last(shape.size(), 1);
  last.front() = shape.front();
  last.back() = shape.back();
  return per_row(sigma.square(), jacobian) * jacobian + moment.unsqueeze(-1) * mean.view(last);
}

}  // namespace scorejet::score
