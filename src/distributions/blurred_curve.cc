#include "src/distributions/blurred_curve.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "src/base/check.h"

namespace scorejet::distributions {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr int kPanelNodes = 16;       // of the Gauss-Legendre rule in one panel
constexpr double kPanelLength = 2.5;  // of a panel, in units of the blur
constexpr double kEndLength = 5;      // of the panels at a curve's ends, in units of noise²/kReach
constexpr double kReach = 12;         // distance from the origin that the nodes resolve

const at::TensorOptions kCurveOptions = at::TensorOptions(at::kDouble);

using Curve = std::function<at::Tensor(const at::Tensor&)>;  // t [n] to points [n, 2]

at::Tensor points(const at::Tensor& x, const at::Tensor& y) { return at::stack({x, y}, 1); }

at::Tensor uniform(double first, double last, int64_t count, at::Generator& generator) {
  return first + (last - first) * at::rand({count}, generator, kCurveOptions);
}

void check(const char* where, double noise, int64_t refinement) {
  base::check_positive(where, "noise", noise);
  if (refinement < 1) base::fail_domain(where, "refinement must be >= 1; got {}", refinement);
}

// Nodes and weights on [-1, 1]: the roots of the Legendre polynomial by Newton's method.
std::pair<at::Tensor, at::Tensor> gauss_legendre(int count) {
  at::Tensor node = at::empty({count}, kCurveOptions), weight = at::empty({count}, kCurveOptions);
  for (int i = 0; i < count; ++i) {
    double z = std::cos(kPi * (i + 0.75) / (count + 0.5)), slope = 1;
    for (int pass = 0; pass < 8; ++pass) {
      double p = z, before = 1;  // P_1, P_0
      for (int n = 2; n <= count; ++n) {
        before = std::exchange(p, ((2 * n - 1) * z * p - (n - 1) * before) / n);
      }
      slope = count * (z * p - before) / (z * z - 1);
      z -= p / slope;
    }
    node[i] = z;
    weight[i] = 2 / ((1 - z * z) * slope * slope);
  }
  return {node, weight};
}

struct Quadrature {
  at::Tensor t, weight;  // Σ weight f(t) = ∫ f dt
};

// Gauss-Legendre in panels of about equal length along the curve, halved again and again towards
// either end: seen from a distance d beyond an end the integrand falls off within noise²/d of it.
Quadrature along(const Curve& curve, double first, double last, double noise, int64_t refinement) {
  const double finer = 1 / static_cast<double>(refinement);
  const at::Tensor grid = at::linspace(first, last, 4097, kCurveOptions);
  const at::Tensor piece = curve(grid).diff(1, 0).norm(2, 1);
  const at::Tensor length = at::cat({at::zeros({1}, kCurveOptions), piece.cumsum(0)});
  const double total = length[-1].item<double>();
  const double panels = std::max(2.0, std::ceil(total / (kPanelLength * noise * finer))),
               step = total / panels;
  at::Tensor wanted = step * at::arange(1, panels, kCurveOptions);  // inner edges
  const double shortest = kEndLength * noise * noise * finer / kReach;
  for (double end = 0.5 * step; 2 * end > shortest; end *= 0.5) {
    wanted = at::cat(
        {at::full({1}, end, kCurveOptions), wanted, at::full({1}, total - end, kCurveOptions)});
  }
  const at::Tensor right = at::searchsorted(length, wanted).clamp(1, 4096), left = right - 1;
  const at::Tensor share = (wanted - length.index({left})) / piece.index({left});
  const at::Tensor inner = grid.index({left}) + share * (grid[1] - grid[0]);
  const at::Tensor edges = at::cat({grid.narrow(0, 0, 1), inner, grid.narrow(0, 4096, 1)});
  const at::Tensor half = 0.5 * edges.diff().unsqueeze(1);
  const at::Tensor middle = edges.narrow(0, 0, half.size(0)).unsqueeze(1) + half;
  const auto [node, weight] = gauss_legendre(kPanelNodes);
  return {(middle + half * node).view(-1), (half * weight).view(-1)};
}

at::Tensor moon(const at::Tensor& t) { return points(2 * t.cos() - 1, 2 * t.sin() - 0.2); }

// The other moon is the first one turned by π about (0, 0.3).
at::Tensor turned(const at::Tensor& x) { return at::tensor({0.0, 0.6}, kCurveOptions) - x; }

at::Tensor roll(const at::Tensor& t) { return points(t * t.cos() / 5, t * t.sin() / 5); }

at::Tensor arm(const at::Tensor& r, const at::Tensor& which) {
  const at::Tensor angle = 0.4 * kPi * which + 0.25 * r.exp();
  return points(2 * r * angle.cos(), 2 * r * angle.sin());
}

}  // namespace

BlurredCurve::BlurredCurve(at::Tensor weights, at::Tensor nodes, double noise, Draw draw)
    : weights_(std::move(weights)),
      nodes_(std::move(nodes)),
      noise_(noise),
      draw_(std::move(draw)) {
  constexpr const char* kWhere = "distributions::BlurredCurve";
  base::check_shape(kWhere, "weights", weights_, {-1});
  base::check_shape(kWhere, "nodes", nodes_, {weights_.size(0), 2});
  base::check_positive(kWhere, "weights", weights_);
  base::check_finite(kWhere, "nodes", nodes_);
  base::check_positive(kWhere, "noise", noise_);
  weights_ = weights_.to(at::kDouble);
  nodes_ = nodes_.to(at::kDouble);
  const double sum = weights_.sum().item<double>();
  if (std::abs(sum - 1) > 1e-12) {
    base::fail_domain(kWhere, "weights must sum to 1; got {}", sum);
  }
}

PlanarTerms BlurredCurve::terms(const at::Tensor& x, const at::Tensor& sigma, int order) const {
  const at::Tensor variance = (sigma.square() + noise_ * noise_).unsqueeze(1);
  const at::Tensor dx = x.narrow(1, 0, 1) - nodes_.select(1, 0);  // [B, K]
  const at::Tensor dy = x.narrow(1, 1, 1) - nodes_.select(1, 1);
  PlanarTerms h;
  h.value = weights_.log() - (2 * kPi * variance).log() - (dx * dx + dy * dy) / (2 * variance);
  if (order >= 1) h.first = {-dx / variance, -dy / variance};
  if (order >= 2) h.second = {-variance.reciprocal(), {}, -variance.reciprocal()};
  return h;
}

at::Tensor BlurredCurve::sample(int64_t count, at::Generator generator) const {
  const at::Tensor clean = draw_(count, generator);
  return clean + noise_ * at::randn({count, 2}, generator, kCurveOptions);
}

std::unique_ptr<BlurredCurve> eight_gaussians(double noise) {
  check("distributions::eight_gaussians", noise, 1);
  const auto centre = [](const at::Tensor& which) {
    const at::Tensor angle = kPi / 4 * which;
    return 4 / std::numbers::sqrt2 * points(angle.cos(), angle.sin());
  };
  return std::make_unique<BlurredCurve>(
      at::full({8}, 0.125, kCurveOptions), centre(at::arange(8, kCurveOptions)), noise,
      [centre](int64_t count, at::Generator& generator) {
        return centre(at::randint(8, {count}, generator, kCurveOptions));
      });
}

std::unique_ptr<BlurredCurve> two_moons(double noise, int64_t refinement) {
  check("distributions::two_moons", noise, refinement);
  const auto [t, weight] = along(moon, 0, kPi, noise, refinement);
  return std::make_unique<BlurredCurve>(
      at::cat({weight, weight}) / (2 * kPi), at::cat({moon(t), turned(moon(t))}), noise,
      [](int64_t count, at::Generator& generator) {
        const at::Tensor first = moon(uniform(0, kPi, count, generator));
        const at::Tensor which = at::rand({count, 1}, generator, kCurveOptions) < 0.5;
        return at::where(which, first, turned(first));
      });
}

std::unique_ptr<BlurredCurve> swiss_roll(double noise, int64_t refinement) {
  check("distributions::swiss_roll", noise, refinement);
  constexpr double kFirst = 1.5 * kPi, kLast = 4.5 * kPi;
  const auto [t, weight] = along(roll, kFirst, kLast, noise, refinement);
  return std::make_unique<BlurredCurve>(weight / (kLast - kFirst), roll(t), noise,
                                        [](int64_t count, at::Generator& generator) {
                                          return roll(uniform(kFirst, kLast, count, generator));
                                        });
}

std::unique_ptr<BlurredCurve> pinwheel(double noise, int64_t refinement) {
  check("distributions::pinwheel", noise, refinement);
  constexpr double kMean = 1, kSpread = 0.3, kCut = 5;  // of the latent radius
  const double mass = std::erf(kCut / std::numbers::sqrt2);
  const Curve first_arm = [](const at::Tensor& r) { return arm(r, at::zeros_like(r)); };
  const auto [r, weight] =
      along(first_arm, kMean - kCut * kSpread, kMean + kCut * kSpread, noise, refinement);
  const at::Tensor density =
      (-0.5 * ((r - kMean) / kSpread).square()).exp() / (mass * kSpread * std::sqrt(2 * kPi));
  std::vector<at::Tensor> weights, nodes;
  for (int k = 0; k < 5; ++k) {
    weights.push_back(0.2 * weight * density);
    nodes.push_back(arm(r, at::full_like(r, k)));
  }
  return std::make_unique<BlurredCurve>(
      at::cat(weights), at::cat(nodes), noise, [mass](int64_t count, at::Generator& generator) {
        const at::Tensor quantile = mass * uniform(-1, 1, count, generator);
        const at::Tensor r = kMean + kSpread * std::numbers::sqrt2 * at::erfinv(quantile);
        return arm(r, at::randint(5, {count}, generator, kCurveOptions));
      });
}

// The trapezoid rule in the angle: with N nodes the error relative to the Bessel function I_0(z),
// z = |x| R / noise², is 2 I_N(z)/I_0(z), about 2 exp(−N²/(2z)); N² = 81 z makes that 5e−18.
std::unique_ptr<BlurredCurve> rings(double noise, int64_t refinement) {
  check("distributions::rings", noise, refinement);
  constexpr double kInnermost = 0.75;
  std::vector<at::Tensor> weights, nodes;
  for (int k = 1; k <= 4; ++k) {
    const double radius = k * kInnermost;
    const auto count =
        refinement * static_cast<int64_t>(std::ceil(16 + 9 * std::sqrt(kReach * radius) / noise));
    const at::Tensor angle =
        2 * kPi / static_cast<double>(count) * at::arange(count, kCurveOptions);
    weights.push_back(at::full({count}, 0.25 / static_cast<double>(count), kCurveOptions));
    nodes.push_back(radius * points(angle.cos(), angle.sin()));
  }
  return std::make_unique<BlurredCurve>(
      at::cat(weights), at::cat(nodes), noise, [](int64_t count, at::Generator& generator) {
        const at::Tensor angle = uniform(0, 2 * kPi, count, generator);
        const at::Tensor radius = kInnermost * at::randint(1, 5, {count}, generator, kCurveOptions);
        return radius.unsqueeze(1) * points(angle.cos(), angle.sin());
      });
}

}  // namespace scorejet::distributions
