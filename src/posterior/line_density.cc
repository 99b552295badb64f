#include "src/posterior/line_density.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace scorejet::posterior {
namespace {

constexpr int kFewPanels = 64, kManyPanels = 512;  // of the quadrature that fits
constexpr int kNodes = 8;
constexpr int kMaxIterations = 200;
constexpr double kTolerance = 1e-9;  // of the residual

// Gauss-Legendre on [−1, 1], the positive half (Abramowitz, Stegun, table 25.4).
constexpr std::array<double, 4> kNode{0.1834346424956498, 0.5255324099163290, 0.7966664774136267,
                                      0.9602898564975363};
constexpr std::array<double, 4> kWeight{0.3626837833783620, 0.3137066458778873, 0.2223810344533745,
                                        0.1012285362903763};

// visit(u, weight) at the nodes of [from, to].
template <typename Visit>
void integrate(double from, double to, const Visit& visit) {
  const double half = 0.5 * (to - from), middle = 0.5 * (to + from);
  for (size_t i = 0; i < kNode.size(); ++i) {
    visit(middle - half * kNode[i], half * kWeight[i]);
    visit(middle + half * kNode[i], half * kWeight[i]);
  }
}

// 1, 0, 1, skewness, kurtosis, as far as given: the moments of the standardised variable.
std::vector<double> standardised(std::span<const double> cumulants) {
  std::vector<double> moments{1, 0, 1};
  const double variance = cumulants[1];
  if (cumulants.size() > 2) moments.push_back(cumulants[2] / std::pow(variance, 1.5));
  if (cumulants.size() > 3) moments.push_back(3 + cumulants[3] / (variance * variance));
  return moments;
}

// Solves H x = g for a symmetric positive definite H (n <= 4, row major) by Cholesky, scaled to a
// unit diagonal and with as much added to it as that needs.
std::vector<double> solve(const std::vector<double>& hessian, const std::vector<double>& gradient) {
  const size_t n = gradient.size();
  std::vector<double> unit(n);
  for (size_t i = 0; i < n; ++i) {
    unit[i] = 1 / std::sqrt(std::max(hessian[i * n + i], std::numeric_limits<double>::min()));
  }
  for (double ridge = 0;; ridge = std::max(10 * ridge, 1e-14)) {
    std::vector<double> l(n * n, 0.0), x(n);
    bool positive = true;
    for (size_t i = 0; i < n && positive; ++i) {
      for (size_t j = 0; j <= i; ++j) {
        double sum = hessian[i * n + j] * unit[i] * unit[j] + (i == j ? ridge : 0.0);
        for (size_t k = 0; k < j; ++k) sum -= l[i * n + k] * l[j * n + k];
        if (i != j) {
          l[i * n + j] = sum / l[j * n + j];
        } else {
          positive = sum > 1e-15;
          l[i * n + i] = std::sqrt(sum);
        }
      }
    }
    if (!positive) continue;
    for (size_t i = 0; i < n; ++i) {
      double sum = gradient[i] * unit[i];
      for (size_t k = 0; k < i; ++k) sum -= l[i * n + k] * x[k];
      x[i] = sum / l[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
      double sum = x[i];
      for (size_t k = i + 1; k < n; ++k) sum -= l[k * n + i] * x[k];
      x[i] = sum / l[i * n + i];
    }
    for (size_t i = 0; i < n; ++i) x[i] *= unit[i];
    return x;
  }
}

double polynomial(const std::vector<double>& lambda, double u) {
  double sum = 0;
  for (size_t j = lambda.size(); j-- > 0;) sum = u * (sum + lambda[j]);
  return sum;
}

// log Z and E u^j, j <= 2n, of exp(Σ λ_j u^j) on [lower, upper].
struct Integrals {
  double log_normaliser;
  std::array<double, 9> moments{};

  Integrals(const std::vector<double>& lambda, double lower, double upper, int panels) {
    const double width = (upper - lower) / panels;
    std::vector<double> nodes, weights, exponents;
    const size_t count = static_cast<size_t>(panels) * kNodes;
    nodes.reserve(count);
    weights.reserve(count);
    exponents.reserve(count);
    for (int i = 0; i < panels; ++i) {
      integrate(lower + i * width, lower + (i + 1) * width, [&](double u, double weight) {
        nodes.push_back(u);
        weights.push_back(weight);
        exponents.push_back(polynomial(lambda, u));
      });
    }
    const double top = *std::max_element(exponents.begin(), exponents.end());
    const size_t order = 2 * lambda.size();
    for (size_t i = 0; i < count; ++i) {
      double term = weights[i] * std::exp(exponents[i] - top);
      for (size_t j = 0; j <= order; ++j, term *= nodes[i]) moments[j] += term;
    }
    const double mass = moments[0];
    for (size_t j = 0; j <= order; ++j) moments[j] /= mass;
    log_normaliser = top + std::log(mass);
  }
};

double residual_of(const std::array<double, 9>& moments, const std::vector<double>& targets) {
  double worst = 0;
  for (size_t j = 1; j < targets.size(); ++j) {
    worst =
        std::max(worst, std::abs(moments[j] - targets[j]) / std::max(1.0, std::abs(targets[j])));
  }
  return worst;
}

}  // namespace

std::string why_impossible(std::span<const double> cumulants, double lower, double upper) {
  const double mean = cumulants[0], variance = cumulants[1];
  for (double value : cumulants) {
    if (!std::isfinite(value)) return "be finite; got NaN or infinity";
  }
  if (!(variance > 0)) return fmt::format("have a positive variance; got {}", variance);
  if (!(lower < mean && mean < upper)) {
    return fmt::format("have a mean inside ({}, {}); got {}", lower, upper, mean);
  }
  const std::vector<double> m = standardised(cumulants);
  const double sd = std::sqrt(variance), a = (lower - mean) / sd, b = (upper - mean) / sd;
  const std::string misfit = fmt::format("fit into ({}, {}); got cumulants [{:.6g}]", lower, upper,
                                         fmt::join(cumulants.begin(), cumulants.end(), ", "));
  if (m.size() == 3 || m.size() == 5) {
    const double c0 = -1 - a * b;  // of (u − a)(b − u) μ
    if (!(c0 > 0)) return misfit;
    if (m.size() == 3) return "";
    const double skewness = m[3], kurtosis = m[4];
    if (!(kurtosis > skewness * skewness + 1)) {
      return fmt::format("have a kurtosis above skewness² + 1 = {}; got {}",
                         skewness * skewness + 1, kurtosis);
    }
    const double c1 = a + b - skewness, c2 = (a + b) * skewness - a * b - kurtosis;
    return c2 > 0 && c0 * c2 > c1 * c1 ? "" : misfit;
  }
  // [[−a, 1], [1, s − a]] and [[b, −1], [−1, b − s]].
  const double skewness = m[3];
  return -a * (skewness - a) > 1 && b * (b - skewness) > 1 ? "" : misfit;
}

LineDensity::LineDensity(std::span<const double> cumulants, double lower, double upper)
    : centre_(cumulants[0]),
      scale_(std::sqrt(cumulants[1])),
      lower_((lower - centre_) / scale_),
      upper_((upper - centre_) / scale_) {
  const std::vector<double> targets = standardised(cumulants);
  lambda_.assign(targets.size() - 1, 0.0);
  lambda_[1] = -0.5;  // the Gaussian
  const double span = upper_ - lower_;
  std::array<double, 9> moments{};
  for (int panels = kFewPanels; panels <= kManyPanels; panels *= 2) {
    minimise(targets, panels);
    panels_ = 2 * panels;
    const Integrals fine(lambda_, lower_, upper_, panels_);
    log_normaliser_ = fine.log_normaliser;
    moments = fine.moments;
    residual_ = residual_of(moments, targets);
    if (converged()) break;
  }
  // Moments up to the fourth, whatever was fitted: E u^j is there for j <= 2n.
  std::copy_n(moments.begin(), moments_.size(), moments_.begin());
  cumulative_.assign(1, 0.0);
  const double width = span / panels_;
  for (int i = 0; i < panels_; ++i) {
    double mass = 0;
    integrate(lower_ + i * width, lower_ + (i + 1) * width,
              [&](double u, double weight) { mass += weight * std::exp(exponent(u)); });
    cumulative_.push_back(cumulative_.back() + mass);
  }
  for (double& value : cumulative_) value /= cumulative_.back();
}

void LineDensity::minimise(const std::vector<double>& targets, int panels) {
  const size_t n = lambda_.size();
  const auto objective = [&](const Integrals& integrals, const std::vector<double>& lambda) {
    double value = integrals.log_normaliser;
    for (size_t j = 0; j < n; ++j) value -= lambda[j] * targets[j + 1];
    return value;
  };
  Integrals now(lambda_, lower_, upper_, panels);
  for (int iteration = 0; iteration < kMaxIterations; ++iteration) {
    if (residual_of(now.moments, targets) <= 1e-3 * kTolerance) return;
    std::vector<double> gradient(n), hessian(n * n);
    for (size_t i = 0; i < n; ++i) {
      gradient[i] = now.moments[i + 1] - targets[i + 1];
      for (size_t j = 0; j < n; ++j) {
        hessian[i * n + j] = now.moments[i + j + 2] - now.moments[i + 1] * now.moments[j + 1];
      }
    }
    const std::vector<double> step = solve(hessian, gradient);
    double decrement = 0;  // gᵀ H⁻¹ g
    for (size_t j = 0; j < n; ++j) decrement += gradient[j] * step[j];
    if (!(decrement > 1e-28)) return;
    const double before = objective(now, lambda_);
    bool moved = false;
    for (double length = 1; length > 1e-12 && !moved; length *= 0.5) {
      std::vector<double> trial = lambda_;
      for (size_t j = 0; j < n; ++j) trial[j] -= length * step[j];
      const Integrals there(trial, lower_, upper_, panels);
      // Below the rounding of the objective the full step is right: it is Newton's.
      const double slack = 1e-14 * (1 + std::abs(before));
      moved = objective(there, trial) <= before - 1e-4 * length * decrement + slack;
      if (!moved) continue;
      lambda_ = trial;
      now = there;
    }
    if (!moved) return;
  }
}

bool LineDensity::converged() const { return residual_ <= kTolerance; }

double LineDensity::exponent(double u) const { return polynomial(lambda_, u) - log_normaliser_; }

double LineDensity::pdf(double t) const {
  const double u = (t - centre_) / scale_;
  return u < lower_ || u > upper_ ? 0.0 : std::exp(exponent(u)) / scale_;
}

double LineDensity::cdf(double t) const {
  const double u = (t - centre_) / scale_;
  if (u <= lower_) return 0;
  if (u >= upper_) return 1;
  const double width = (upper_ - lower_) / panels_;
  const auto panel = std::min(static_cast<size_t>((u - lower_) / width), cumulative_.size() - 2);
  double mass = cumulative_[panel];
  integrate(lower_ + static_cast<double>(panel) * width, u,
            [&](double at, double weight) { mass += weight * std::exp(exponent(at)); });
  return std::min(mass, 1.0);
}

double LineDensity::quantile(double p) const {
  const auto after = std::upper_bound(cumulative_.begin(), cumulative_.end(), p);
  if (after == cumulative_.begin()) return centre_ + scale_ * lower_;
  if (after == cumulative_.end()) return centre_ + scale_ * upper_;
  const double width = scale_ * (upper_ - lower_) / panels_;
  const auto panel = static_cast<double>(after - cumulative_.begin() - 1);
  double low = centre_ + scale_ * lower_ + panel * width, high = low + width;
  double t = low + width * (p - *(after - 1)) / (*after - *(after - 1));
  for (int i = 0; i < 60; ++i) {  // Newton, kept between low and high
    const double excess = cdf(t) - p;
    (excess > 0 ? high : low) = t;
    double next = t - excess / pdf(t);
    if (!(next > low && next < high)) next = 0.5 * (low + high);
    if (std::abs(next - t) <= 1e-14 * width) break;
    t = next;
  }
  return t;
}

std::array<double, 4> LineDensity::cumulants() const {
  const double m = moments_[1], m2 = moments_[2], m3 = moments_[3], m4 = moments_[4];
  const double v = m2 - m * m;
  const double third = m3 - 3 * m * m2 + 2 * m * m * m;
  const double fourth = m4 - 4 * m * m3 + 6 * m * m * m2 - 3 * m * m * m * m - 3 * v * v;
  return {centre_ + scale_ * m, scale_ * scale_ * v, std::pow(scale_, 3) * third,
          std::pow(scale_, 4) * fourth};
}

}  // namespace scorejet::posterior
