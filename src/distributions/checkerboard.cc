#include "src/distributions/checkerboard.h"

#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <numbers>

namespace scorejet::distributions {
namespace {

constexpr double kHalf = 1;                              // half a square's side
constexpr std::array<double, 4> kCentres{-3, -1, 1, 3};  // of the columns, and of the rows

const at::TensorOptions kBoardOptions = at::TensorOptions(at::kDouble);

at::Tensor centres() { return at::tensor(at::ArrayRef<double>(kCentres), kBoardOptions); }

// Column and row of the eight squares, [8] each.
at::Tensor columns() { return at::tensor({0, 0, 1, 1, 2, 2, 3, 3}, at::kLong); }
at::Tensor rows() { return at::tensor({0, 2, 1, 3, 0, 2, 1, 3}, at::kLong); }

// log of one coordinate's density in each of the four columns and its derivatives, [B, 4].
struct Boxes {
  std::array<at::Tensor, 4> log;
};

// The first three derivatives of log Q, Q the upper tail of the normal law, for z >= kTail: by
// Laplace's continued fraction, φ/Q = z + 1/A, A = z + 2/B, B = z + 3/C, C = z + 4/D, ..., with the
// cancellations of (log Q)''' done by hand: from φ(z) and Q(z) it loses z⁶ of its digits.
constexpr double kTail = 5;
std::array<at::Tensor, 3> log_tail_derivatives(const at::Tensor& z) {
  at::Tensor d = z;
  for (int n = 25; n >= 5; --n) d = z + n / d;
  const at::Tensor c = z + 4 / d, b = z + 3 / c, a = z + 2 / b, hazard = z + 1 / a;
  const at::Tensor rest = z + 9 / c - 8 / d;  // B C (B − A)
  return {-hazard, -hazard / a, -2 * hazard * rest / (a * a * b * b * c)};
}

// With d = |x − centre|, z1 = (d − 1)/σ, z2 = (d + 1)/σ and Q the upper tail of the normal law,
// b = ½ f, f = Q(z1) − Q(z2). Beyond the edge (z1 > 0) f = e^(−z1²/2) s with
// s = ½ (erfcx(z1/√2) − e^(−(z2² − z1²)/2) erfcx(z2/√2)), which does not underflow.
Boxes boxes(const at::Tensor& x, const at::Tensor& sigma, int order) {
  const double root = 1 / std::numbers::sqrt2, normal = 1 / std::sqrt(2 * std::numbers::pi);
  const at::Tensor signed_distance = x - centres();
  const at::Tensor sign = at::where(signed_distance < 0, -1.0, 1.0).to(at::kDouble);
  const at::Tensor distance = sign * signed_distance;
  const at::Tensor z1 = (distance - kHalf) / sigma, z2 = (distance + kHalf) / sigma;
  const at::Tensor beyond = z1 > 0;
  // Each side of a where() is given arguments at which it and its derivatives are finite.
  const at::Tensor near = 0.5 * (at::erf(root * z2) - at::erf(root * z1.clamp_max(0)));
  const at::Tensor z1_far = z1.clamp_min(0), z2_far = z1_far + 2 * kHalf / sigma;
  const at::Tensor ratio = (-kHalf / sigma * (z1_far + z2_far)).exp();  // e^(−(z2² − z1²)/2)
  const at::Tensor far =
      0.5 * (at::special_erfcx(root * z1_far) - ratio * at::special_erfcx(root * z2_far));
  Boxes result;
  result.log[0] =
      at::where(beyond, far.log() - 0.5 * z1_far.square(), near.log()) - std::log(2 * kHalf);
  if (order < 1) return result;
  // f⁽ⁿ⁾/f from the normal densities φ1, φ2 at the edges over f, then the derivatives of log f.
  const at::Tensor r1 =
      normal * at::where(beyond, far.reciprocal(), (-0.5 * z1.square()).exp() / near);
  const at::Tensor r2 = normal * at::where(beyond, ratio / far, (-0.5 * z2.square()).exp() / near);
  const at::Tensor m1 = r2 - r1;
  const at::Tensor m2 = z1 * r1 - z2 * r2;
  const at::Tensor m3 = (z2.square() - 1) * r2 - (z1.square() - 1) * r1;
  // Where the far edge does not count, the near one's tail.
  const at::Tensor alone = at::logical_and(z1 > kTail, ratio < 1e-18);
  const auto tail = log_tail_derivatives(z1.clamp_min(kTail));
  result.log[1] = sign * at::where(alone, tail[0], m1) / sigma;
  result.log[2] = at::where(alone, tail[1], m2 - m1 * m1) / sigma.square();
  result.log[3] = sign * at::where(alone, tail[2], m3 - 3 * m1 * m2 + 2 * m1.pow(3)) / sigma.pow(3);
  return result;
}

}  // namespace

PlanarTerms Checkerboard::terms(const at::Tensor& x, const at::Tensor& sigma, int order) const {
  const at::Tensor level = sigma.unsqueeze(1);
  const Boxes horizontal = boxes(x.narrow(1, 0, 1), level, order);
  const Boxes vertical = boxes(x.narrow(1, 1, 1), level, order);
  const at::Tensor column = columns(), row = rows();
  const auto along_x = [&](size_t n) { return horizontal.log[n].index_select(1, column); };
  const auto along_y = [&](size_t n) { return vertical.log[n].index_select(1, row); };
  PlanarTerms h;
  h.value = along_x(0) + along_y(0) - std::log(8.0);
  if (order >= 1) h.first = {along_x(1), along_y(1)};
  if (order >= 2) h.second = {along_x(2), {}, along_y(2)};
  if (order >= 3) h.third = {along_x(3), {}, {}, along_y(3)};
  return h;
}

at::Tensor Checkerboard::sample(int64_t count, at::Generator generator) const {
  const at::Tensor which = at::randint(8, {count}, generator, at::TensorOptions(at::kLong));
  const at::Tensor middle = centres();
  const at::Tensor corner = at::stack({middle.index_select(0, columns().index_select(0, which)),
                                       middle.index_select(0, rows().index_select(0, which))},
                                      1);
  return corner + kHalf * (2 * at::rand({count, 2}, generator, kBoardOptions) - 1);
}

}  // namespace scorejet::distributions
