#include "scorejet/diagnostics.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "src/base/check.h"

namespace scorejet::sampling {
namespace {

constexpr int64_t kMaxDistances = int64_t{1} << 23;  // 64 MiB of float64

// Calls each(distances [r, M]) on blocks of rows of x [N, D] against y [M, D].
template <typename Each>
void for_distances(const at::Tensor& x, const at::Tensor& y, const Each& each) {
  // |x|² + |y|² − 2 x·y is fast, but rounds to √ε |x| where points coincide: for long vectors only.
  constexpr int64_t kExactDim = 16, kByProducts = 1, kByDifferences = 2;
  const int64_t mode = x.size(1) <= kExactDim ? kByDifferences : kByProducts;
  const int64_t rows = std::max<int64_t>(1, kMaxDistances / std::max<int64_t>(1, y.size(0)));
  for (int64_t first = 0; first < x.size(0); first += rows) {
    each(at::cdist(x.narrow(0, first, std::min(rows, x.size(0) - first)), y, 2, mode));
  }
}

double sum_of_distances(const at::Tensor& x, const at::Tensor& y) {
  double sum = 0;
  for_distances(x, y, [&](const at::Tensor& block) { sum += block.sum().item<double>(); });
  return sum;
}

void check_sample(const char* name, const at::Tensor& x, int64_t dim) {
  constexpr const char* kWhere = "sampling::energy_distance";
  base::check_shape(kWhere, name, x, {-1, dim});
  if (x.size(0) < 2) {
    base::fail_argument(kWhere, "{} must hold at least 2 points; got {}", name, x.size(0));
  }
  base::check_finite(kWhere, name, x);
}

}  // namespace

at::Tensor nearest_centre(const at::Tensor& draws, const at::Tensor& centres) {
  constexpr const char* kWhere = "sampling::nearest_centre";
  base::check_shape(kWhere, "draws", draws, {-1, -1, -1});
  base::check_shape(kWhere, "centres", centres, {-1, draws.size(2)});
  if (centres.size(0) < 1) base::fail_argument(kWhere, "centres must not be empty; got none");
  base::check_finite(kWhere, "centres", centres);
  at::NoGradGuard no_grad;
  const at::Tensor x = draws.flatten(0, 1).to(at::kDouble);
  std::vector<at::Tensor> parts{at::empty({0}, x.options().dtype(at::kLong))};
  for_distances(x, centres.to(x.options()),
                [&](const at::Tensor& block) { parts.push_back(block.argmin(1)); });
  const at::Tensor lost = at::isfinite(x).all(1).logical_not();
  return at::cat(parts).masked_fill_(lost, -1).view({draws.size(0), draws.size(1)});
}

Occupancy occupancy(const at::Tensor& labels, int64_t num_modes) {
  constexpr const char* kWhere = "sampling::occupancy";
  base::check_shape(kWhere, "labels", labels, {-1, -1});
  if (!at::isIntegralType(labels.scalar_type(), /*includeBool=*/false)) {
    base::fail_argument(kWhere, "labels must be integers; got {}",
                        at::toString(labels.scalar_type()));
  }
  if (num_modes < 1) base::fail_argument(kWhere, "num_modes must be at least 1; got {}", num_modes);
  const at::Tensor all = labels.cpu().to(at::kLong);
  const at::Tensor wrong = all.masked_select((all < -1).logical_or(all >= num_modes));
  if (wrong.numel() > 0) {
    base::fail_domain(kWhere, "labels must lie in -1..{}; got {}", num_modes - 1,
                      wrong[0].item<int64_t>());
  }
  const at::Tensor known = all.masked_select(all >= 0);
  if (known.numel() == 0) base::fail_domain(kWhere, "a label must be 0 or above; got none");

  Occupancy result;
  result.fractions =
      at::bincount(known, {}, num_modes).to(at::kDouble) / static_cast<double>(known.numel());
  result.entropy = -at::xlogy(result.fractions, result.fractions).sum().item<double>();
  const int64_t pairs = std::max<int64_t>(0, all.size(1) - 1);
  const at::Tensor from = all.narrow(1, 0, pairs), to = all.narrow(1, all.size(1) - pairs, pairs);
  const at::Tensor both = (from >= 0).logical_and(to >= 0);
  result.num_transitions = (from != to).logical_and(both).sum(1);
  result.transition_counts =
      at::bincount((from * num_modes + to).masked_select(both), {}, num_modes * num_modes)
          .view({num_modes, num_modes});
  return result;
}

EnergyDistance energy_distance(const at::Tensor& x, const at::Tensor& y) {
  check_sample("x", x, -1);
  check_sample("y", y, x.size(1));
  at::NoGradGuard no_grad;
  const at::Tensor wide = x.to(at::kDouble);
  const at::Tensor centre = wide.mean(0);  // distances by products round with the norm
  const at::Tensor a = wide - centre, b = y.to(wide.options()) - centre;
  const auto n = static_cast<double>(a.size(0)), m = static_cast<double>(b.size(0));
  const double between = 2 * sum_of_distances(a, b) / (n * m);
  const double within_x = sum_of_distances(a, a), within_y = sum_of_distances(b, b);
  EnergyDistance result;
  result.distance = between - within_x / (n * (n - 1)) - within_y / (m * (m - 1));
  const double biased = between - within_x / (n * n) - within_y / (m * m);
  result.coefficient = between > 0 ? std::clamp(biased / between, 0.0, 1.0) : 0;
  return result;
}

}  // namespace scorejet::sampling
