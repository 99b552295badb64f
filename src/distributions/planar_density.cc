#include "src/distributions/planar_density.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

namespace scorejet::distributions {
namespace {

constexpr int64_t kChunk = 1 << 16;  // terms held at once: a tensor of them stays in the cache

// Packed derivatives of one chunk, [rows, order + 1] each: component n has n derivatives in y.
struct PackedJet {
  std::vector<at::Tensor> orders;
};

PackedJet jet_of_sum(const PlanarTerms& h, int order) {
  const at::Tensor rho = at::softmax(h.value, 1);
  const auto mean = [&](const at::Tensor& f) { return (rho * f).sum(1); };
  const at::Tensor sx = mean(h.first[0]), sy = mean(h.first[1]);
  PackedJet jet{{at::stack({sx, sy}, 1)}};
  if (order < 2) return jet;
  const at::Tensor gx = h.first[0] - sx.unsqueeze(1), gy = h.first[1] - sy.unsqueeze(1);
  const auto plus = [](const at::Tensor& f, const at::Tensor& maybe) {
    return maybe.defined() ? f + maybe : f;
  };
  const at::Tensor xx = gx * gx, xy = gx * gy, yy = gy * gy;
  const auto& hh = h.second;
  jet.orders.push_back(
      at::stack({mean(plus(xx, hh[0])), mean(plus(xy, hh[1])), mean(plus(yy, hh[2]))}, 1));
  if (order < 3) return jet;
  // ∇³h + 3 sym(∇²h ⊗ ĝ) + ĝ⊗ĝ⊗ĝ, component by component.
  at::Tensor xxx = plus(xx * gx, h.third[0]), xxy = plus(xx * gy, h.third[1]);
  at::Tensor xyy = plus(yy * gx, h.third[2]), yyy = plus(yy * gy, h.third[3]);
  if (hh[0].defined()) xxx = xxx + 3 * hh[0] * gx, xxy = xxy + hh[0] * gy;
  if (hh[1].defined()) xxy = xxy + 2 * hh[1] * gx, xyy = xyy + 2 * hh[1] * gy;
  if (hh[2].defined()) xyy = xyy + hh[2] * gx, yyy = yyy + 3 * hh[2] * gy;
  jet.orders.push_back(at::stack({mean(xxx), mean(xxy), mean(xyy), mean(yyy)}, 1));
  return jet;
}

// [B, n + 1] to the full symmetric [B, 2, ..., 2]: the element's place is its number of y indices.
at::Tensor unpack(const at::Tensor& packed, const std::vector<int64_t>& places,
                  at::IntArrayRef shape) {
  return packed.index_select(1, at::tensor(places, at::kLong)).view(shape);
}

}  // namespace

at::Tensor PlanarDensity::checked_sigma(const char* where, const at::Tensor& x,
                                        const at::Tensor& sigma) const {
  return score::broadcast_sigma(where, x, sigma, smooth_without_noise());
}

score::Jet PlanarDensity::evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const {
  constexpr const char* kWhere = "distributions::PlanarDensity::evaluate";
  check(kWhere, x, order);
  at::NoGradGuard no_grad;
  const at::Tensor points = x.detach().to(at::kCPU, at::kDouble);
  const at::Tensor levels = checked_sigma(kWhere, points, sigma);
  const int64_t size = points.size(0);
  std::vector<at::Tensor> all;
  for (int n = 1; n <= order; ++n) all.push_back(at::empty({size, n + 1}, points.options()));
  const int64_t rows = std::max<int64_t>(1, kChunk / num_terms());
  for (int64_t first = 0; first < size; first += rows) {
    const int64_t count = std::min(rows, size - first);
    const PackedJet jet = jet_of_sum(
        terms(points.narrow(0, first, count), levels.narrow(0, first, count), order), order);
    for (size_t n = 0; n < all.size(); ++n) all[n].narrow(0, first, count).copy_(jet.orders[n]);
  }
  for (at::Tensor& packed : all) packed = packed.to(x.options());
  score::Jet jet{all[0]};
  if (order >= 2) {
    jet.s2 = linalg::SymmetricOperator::from_dense(unpack(all[1], {0, 1, 1, 2}, {size, 2, 2}));
  }
  if (order >= 3) {
    jet.s3 = linalg::SymmetricTensor::from_dense(
        unpack(all[2], {0, 1, 1, 2, 1, 2, 2, 3}, {size, 2, 2, 2}));
  }
  return jet;
}

at::Tensor PlanarDensity::log_density(const at::Tensor& x, const at::Tensor& sigma) const {
  constexpr const char* kWhere = "distributions::PlanarDensity::log_density";
  check(kWhere, x);
  const at::Tensor points = x.to(at::kCPU, at::kDouble);
  const at::Tensor levels = checked_sigma(kWhere, points, sigma);
  const int64_t rows = std::max<int64_t>(1, kChunk / num_terms());
  std::vector<at::Tensor> chunks{points.new_empty({0})};
  for (int64_t first = 0; first < points.size(0); first += rows) {
    const int64_t count = std::min(rows, points.size(0) - first);
    chunks.push_back(at::logsumexp(
        terms(points.narrow(0, first, count), levels.narrow(0, first, count), 0).value, 1));
  }
  return at::cat(chunks).to(x.options());
}

}  // namespace scorejet::distributions
