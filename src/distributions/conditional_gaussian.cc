#include "src/distributions/conditional_gaussian.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "src/base/check.h"

namespace scorejet::distributions {
namespace {

constexpr int64_t kNodes = 256;
constexpr double kDepth = 45;  // the integrand is cut where it is e^-45 of its largest value
constexpr int kZooms = 2;
const double kLogTwoPi = std::log(2 * std::numbers::pi);

}  // namespace

ConditionalGaussian::ConditionalGaussian(double spread, int64_t refinement)
    : spread_(spread), num_nodes_(kNodes * refinement) {
  constexpr const char* kWhere = "distributions::ConditionalGaussian";
  base::check_positive(kWhere, "spread", spread);
  if (refinement < 1) base::fail_domain(kWhere, "refinement must be >= 1; got {}", refinement);
}

void ConditionalGaussian::add_prior(const at::Tensor& u, PlanarTerms& terms) const {
  const double precision = 1 / (spread_ * spread_);
  terms.value = terms.value - 0.5 * precision * u * u - std::log(spread_) - 0.5 * kLogTwoPi;
  if (terms.first[0].defined()) terms.first[0] = terms.first[0] - precision * u;
  if (terms.second[0].defined()) terms.second[0] = terms.second[0] - precision;
}

// Where the integrand lives: N(ε; 0, 1) N(u − σε; 0, spread²) is a Gaussian in ε, and the factor in
// y exceeds its value at that Gaussian's centre by at most e^(ceiling − value). This bounds how far
// from the centre the integrand can be within e^-45 of its maximum; zooming in narrows it.
ConditionalGaussian::Nodes ConditionalGaussian::nodes(const at::Tensor& x,
                                                      const at::Tensor& sigma) const {
  const at::NoGradGuard no_grad;
  const at::Tensor u = x.narrow(1, 0, 1).detach(), y = x.narrow(1, 1, 1).detach();
  const at::Tensor total = sigma.square() + spread_ * spread_;
  const at::Tensor centre = sigma * u / total, width = spread_ * total.rsqrt();
  const auto factor = [&](const at::Tensor& latent) {  // log N(y; m, v + σ²)
    return joint(latent, y, sigma, 0).value + 0.5 * (latent / spread_).square() +
           (std::log(spread_) + 0.5 * kLogTwoPi);
  };
  const at::Tensor gain = (ceiling(y, sigma) - factor(u - sigma * centre)).clamp_min(0);
  const at::Tensor reach = width * (2 * (kDepth + gain)).sqrt();
  at::Tensor first = centre - reach, last = centre + reach;
  const double intervals = static_cast<double>(num_nodes_ - 1);
  const at::Tensor unit = at::arange(num_nodes_, x.options().requires_grad(false)) / intervals;
  for (int zoom = 0; zoom < kZooms; ++zoom) {
    const at::Tensor step = (last - first) / intervals;
    const at::Tensor epsilon = first + (last - first) * unit;
    const at::Tensor value = joint(u - sigma * epsilon, y, sigma, 0).value - 0.5 * epsilon.square();
    const at::Tensor kept = (value > value.amax(1, true) - kDepth).to(at::kByte);
    const at::Tensor leading = kept.argmax(1, true);
    const at::Tensor trailing = kept.flip(1).argmax(1, true);
    const at::Tensor begin = first + step * (leading - 1);
    last = last - step * (trailing - 1);
    first = begin;
  }
  const at::Tensor epsilon = first + (last - first) * unit;
  return {epsilon, ((last - first) / intervals).log() - 0.5 * epsilon.square() - 0.5 * kLogTwoPi};
}

PlanarTerms ConditionalGaussian::terms(const at::Tensor& x, const at::Tensor& sigma,
                                       int order) const {
  const at::Tensor level = sigma.unsqueeze(1);
  const auto [epsilon, log_weight] = nodes(x, level);
  PlanarTerms h = joint(x.narrow(1, 0, 1) - level * epsilon, x.narrow(1, 1, 1), level, order);
  h.value = h.value + log_weight;
  return h;
}

at::Tensor ConditionalGaussian::sample(int64_t count, at::Generator generator) const {
  const at::Tensor normal = at::randn({count, 2}, generator, at::TensorOptions(at::kDouble));
  const at::Tensor u = spread_ * normal.select(1, 0);
  return at::stack({u, draw_second(u, normal.select(1, 1))}, 1);
}

// With V = e^u + σ², a = e^u/V (so that V' = aV, a' = a(1 − a)) and q = y²/V (q' = −aq):
// log N(y; 0, V) = −½ (log V + q + log 2π).
PlanarTerms Funnel::joint(const at::Tensor& u, const at::Tensor& y, const at::Tensor& sigma,
                          int order) const {
  const at::Tensor log_noise = 2 * sigma.log();  // -inf at σ = 0, which a = 1 and V = e^u survive
  const at::Tensor log_variance = at::logaddexp(u, log_noise);
  const at::Tensor precision = (-log_variance).exp();
  const at::Tensor q = y * y * precision;
  PlanarTerms h;
  h.value = -0.5 * (log_variance + q + kLogTwoPi);
  if (order >= 1) {
    const at::Tensor a = at::sigmoid(u - log_noise), rest = a * (1 - a);
    h.first = {0.5 * a * (q - 1), -y * precision};
    if (order >= 2) {
      h.second = {0.5 * (rest * (q - 1) - a * a * q), a * y * precision, -precision};
    }
    if (order >= 3) {
      h.third = {0.5 * (rest * (1 - 2 * a) * (q - 1) + a * q * (a * a - 3 * rest)),
                 y * precision * (rest - a * a),
                 a * precision,
                 {}};
    }
  }
  add_prior(u, h);
  return h;
}

// The most likely variance of y is y², or the least there is.
at::Tensor Funnel::ceiling(const at::Tensor& y, const at::Tensor& sigma) const {
  const at::Tensor variance = at::maximum(y.square(), sigma.square()).clamp_min(1e-300);
  return -0.5 * (variance.log() + y.square() / variance + kLogTwoPi);
}

at::Tensor Funnel::draw_second(const at::Tensor& u, const at::Tensor& normal) const {
  return (0.5 * u).exp() * normal;
}

Banana::Banana(double spread, double bend, int64_t refinement)
    : ConditionalGaussian(spread, refinement), centre_(spread * spread), bend_(bend) {
  if (!std::isfinite(bend)) base::fail_domain("distributions::Banana", "bend must be finite");
}

at::Tensor Banana::mean(const at::Tensor& u) const { return bend_ * (u * u - centre_); }

// With W = 1 + σ², r = y − m(u), m' = 2bu, m'' = 2b: log N(y; m, W) = −½ (log W + r²/W + log 2π).
PlanarTerms Banana::joint(const at::Tensor& u, const at::Tensor& y, const at::Tensor& sigma,
                          int order) const {
  const at::Tensor variance = 1 + sigma.square();
  const at::Tensor residual = y - mean(u);
  PlanarTerms h;
  h.value = -0.5 * (variance.log() + residual * residual / variance + kLogTwoPi);
  if (order >= 1) {
    const at::Tensor scaled = residual / variance, slope = 2 * bend_ * u;
    const double curvature = 2 * bend_;
    h.first = {slope * scaled, -scaled};
    if (order >= 2) {
      h.second = {curvature * scaled - slope * slope / variance, slope / variance,
                  -variance.reciprocal()};
    }
    if (order >= 3) {
      h.third = {-3 * curvature * slope / variance, curvature / variance, {}, {}};
    }
  }
  add_prior(u, h);
  return h;
}

at::Tensor Banana::ceiling(const at::Tensor& /*y*/, const at::Tensor& sigma) const {
  return -0.5 * ((1 + sigma.square()).log() + kLogTwoPi);
}

at::Tensor Banana::draw_second(const at::Tensor& u, const at::Tensor& normal) const {
  return mean(u) + normal;
}

}  // namespace scorejet::distributions
