#include "src/distributions/logistic_mixture.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "src/base/check.h"

namespace scorejet::distributions {
namespace {

constexpr int kTableOrder = 6;         // derivatives kept at a knot
constexpr int64_t kTableRows = 64;     // smaller batches are integrated directly
constexpr double kKnotsPerScale = 10;  // knots in one √(s² + σ²) of the narrowest component
constexpr double kTableReach = 40;     // scales beyond the outermost locations
constexpr double kStep = 0.5;          // of the trapezoid rule, in units of min(σ, s)
constexpr double kNoiseReach = 9;      // standard deviations of noise integrated over
constexpr int64_t kLogisticChunk = 1 << 18;  // elements of one integrand
constexpr int64_t kTableChunk = 1024;        // rows interpolated at once

// L⁽ⁿ⁾/L as polynomials in t = tanh(v/2), lowest power first: with L' = −tL and t' = (1 − t²)/2,
// p_{n+1} = p_n'(t) (1 − t²)/2 − t p_n.
std::vector<std::vector<double>> logistic_polynomials(int order) {
  std::vector<std::vector<double>> all{{1.0}};
  while (static_cast<int>(all.size()) <= order) {
    const std::vector<double>& p = all.back();
    std::vector<double> next(p.size() + 1, 0.0);
    for (size_t i = 0; i < p.size(); ++i) {
      const auto power = static_cast<double>(i);
      if (i > 0) next[i - 1] += 0.5 * power * p[i];
      next[i + 1] -= 0.5 * power * p[i] + p[i];
    }
    all.push_back(next);
  }
  return all;
}

at::Tensor polynomial(const std::vector<double>& coefficients, const at::Tensor& t) {
  at::Tensor sum = at::full_like(t, coefficients.back());
  for (size_t i = coefficients.size() - 1; i-- > 0;) sum = sum * t + coefficients[i];
  return sum;
}

// Derivatives of log f from m_n = f⁽ⁿ⁾/f: l_n = m_n − Σ_{j=1}^{n−1} C(n−1, j−1) l_j m_{n−j}.
std::vector<at::Tensor> log_derivatives(const std::vector<at::Tensor>& m) {
  std::vector<at::Tensor> l(m.size());
  for (size_t n = 1; n < m.size(); ++n) {
    l[n] = m[n];
    double binomial = 1;
    for (size_t j = 1; j < n; ++j) {
      l[n] = l[n] - binomial * l[j] * m[n - j];
      binomial = binomial * static_cast<double>(n - j) / static_cast<double>(j);
    }
  }
  return l;
}

}  // namespace

// log f_sigma and its derivatives at equally spaced knots of every coordinate.
struct LogisticMixture::Table {
  double sigma = -1;
  double step = 0;
  at::Tensor first;   // [D], the leftmost knot
  at::Tensor values;  // [D, knots, kTableOrder + 1], derivative n already times stepⁿ/n!

  // Derivatives 1, 2, ... of log f at x [N, D] into `out` [orders, N, D]; returns where x lies
  // outside the table, [N, D].
  at::Tensor interpolate(const at::Tensor& x, at::Tensor& out) const;
};

at::Tensor LogisticMixture::Table::interpolate(const at::Tensor& x, at::Tensor& out) const {
  const int64_t last = values.size(1) - 2;
  const at::Tensor position = (x - first) / step;
  const at::Tensor index = position.floor().clamp(0, static_cast<double>(last));
  const at::Tensor u = position - index;  // in [0, 1) inside the table
  const at::Tensor row =
      (index.to(at::kLong) + at::arange(x.size(1), at::kLong) * values.size(1)).view(-1);
  const at::Tensor flat = values.view({-1, kTableOrder + 1});
  const at::Tensor left = flat.index_select(0, row).t().contiguous();
  const at::Tensor right = flat.index_select(0, row + 1).t().contiguous();
  for (int64_t n = 1; n <= out.size(0); ++n) {
    std::array<at::Tensor, 4> a, b;  // Taylor coefficients of l⁽ⁿ⁾ in u, at 0 and at 1
    for (int64_t j = 0; j < 4; ++j) {
      double rise = 1;  // l⁽ⁿ⁺ʲ⁾ hʲ/j! from the stored l⁽ᵐ⁾ hᵐ/m!, m = n + j
      for (int64_t i = j + 1; i <= n + j; ++i) rise *= static_cast<double>(i);
      const double scale = rise / std::pow(step, static_cast<double>(n));
      a[static_cast<size_t>(j)] = left[n + j].view(x.sizes()) * scale;
      b[static_cast<size_t>(j)] = right[n + j].view(x.sizes()) * scale;
    }
    // Degree seven with the value and three derivatives of both ends: the Taylor cubic at 0 plus
    // u⁴ q(u). What the cubic misses at 1 has Taylor coefficients d there, so that the cubic q has
    // the first four coefficients of d (1 + e)⁻⁴, e = u − 1.
    const at::Tensor d0 = b[0] - (a[0] + a[1] + a[2] + a[3]);
    const at::Tensor d1 = b[1] - (a[1] + 2 * a[2] + 3 * a[3]);
    const at::Tensor d2 = b[2] - (a[2] + 3 * a[3]);
    const at::Tensor d3 = b[3] - a[3];
    const at::Tensor q1 = d1 - 4 * d0, q2 = d2 - 4 * d1 + 10 * d0,
                     q3 = d3 - 4 * d2 + 10 * d1 - 20 * d0;
    const at::Tensor e = u - 1;
    const at::Tensor q = d0 + e * (q1 + e * (q2 + e * q3));
    out[n - 1].copy_(a[0] + u * (a[1] + u * (a[2] + u * (a[3] + u * q))));
  }
  return at::logical_or(position<0, position> static_cast<double>(last + 1));
}

LogisticMixture::LogisticMixture(const at::Tensor& weights, const at::Tensor& locations,
                                 const at::Tensor& scales)
    : weights_(weights.to(at::kDouble)),
      locations_(locations.to(at::kDouble)),
      scales_(scales.to(at::kDouble)) {
  constexpr const char* kWhere = "distributions::LogisticMixture";
  base::check_shape(kWhere, "weights", weights, {-1, -1});
  base::check_shape(kWhere, "locations", locations, weights.sizes());
  base::check_shape(kWhere, "scales", scales, weights.sizes());
  base::check_positive(kWhere, "weights", weights_);
  base::check_positive(kWhere, "scales", scales_);
  base::check_finite(kWhere, "locations", locations_);
  const double worst = (weights_.sum(1) - 1).abs().max().item<double>();
  if (worst > 1e-6) {
    base::fail_domain(kWhere, "each row of weights must sum to 1; got one off by {}", worst);
  }
}

LogisticMixture::~LogisticMixture() = default;

// Math: f_σ⁽ⁿ⁾(x) = Σ_k w_k ∫ L⁽ⁿ⁾((x − μ_k − t)/s_k)/s_kⁿ⁺¹ N(t; 0, σ²) dt by the trapezoid rule.
// The integrand's nearest poles lie at ±iπs_k, so that a step of half the smaller of σ and s_k
// leaves an error below e^−39 (Trefethen & Weideman 2014). Far in a tail the integrand's mass moves
// by up to σ²/s_k, which the range includes.
at::Tensor LogisticMixture::integrate(int64_t d, const at::Tensor& x, const at::Tensor& sigma,
                                      int order) const {
  const at::Tensor weight = weights_[d], location = locations_[d], scale = scales_[d];
  const double widest = sigma.max().item<double>();
  const double narrowest_scale = scale.min().item<double>();
  // Nodes u in units of each row's σ: enough for the widest σ.
  const double ratio = widest / narrowest_scale;
  const double step = kStep * std::min(1.0, 1.0 / std::max(ratio, 1e-12));
  const double reach = kNoiseReach + std::min(ratio, 2 * kNoiseReach);
  const int64_t half = widest > 0 ? static_cast<int64_t>(std::ceil(reach / step)) : 0;
  const at::Tensor u = step * at::arange(-half, half + 1, x.options());
  const at::Tensor log_node = at::log_softmax(-0.5 * u.square(), 0).view({1, 1, -1});
  const auto polynomials = logistic_polynomials(order);

  const int64_t rows = std::max<int64_t>(1, kLogisticChunk / (weight.numel() * u.numel()));
  std::vector<at::Tensor> chunks;
  for (int64_t first = 0; first < x.size(0); first += rows) {
    const int64_t count = std::min(rows, x.size(0) - first);
    const at::Tensor shift = sigma.narrow(0, first, count).view({-1, 1, 1}) * u;
    const at::Tensor v =
        (x.narrow(0, first, count).view({-1, 1, 1}) - shift - location.view({1, -1, 1})) /
        scale.view({1, -1, 1});
    const at::Tensor log_terms = at::log_sigmoid(v) + at::log_sigmoid(-v) + log_node +
                                 (weight / scale).log().view({1, -1, 1});
    const at::Tensor log_f = at::logsumexp(log_terms, {1, 2});
    std::vector<at::Tensor> result{log_f};
    if (order > 0) {
      const at::Tensor share = (log_terms - log_f.view({-1, 1, 1})).exp();
      const at::Tensor t = at::tanh(0.5 * v);
      std::vector<at::Tensor> ratios{at::ones_like(log_f)};
      for (int n = 1; n <= order; ++n) {
        const at::Tensor per_component =
            (share * polynomial(polynomials[static_cast<size_t>(n)], t)).sum(2);
        ratios.push_back((per_component / scale.pow(n)).sum(1));
      }
      const std::vector<at::Tensor> logs = log_derivatives(ratios);
      result.insert(result.end(), logs.begin() + 1, logs.end());
    }
    chunks.push_back(at::stack(result));
  }
  return at::cat(chunks, 1);
}

std::shared_ptr<const LogisticMixture::Table> LogisticMixture::table(double sigma) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (table_ && table_->sigma == sigma) return table_;
  auto made = std::make_shared<Table>();
  made->sigma = sigma;
  const double narrowest = scales_.min().item<double>();
  made->step = std::hypot(narrowest, sigma) / kKnotsPerScale;
  const at::Tensor reach = kTableReach * std::get<0>(scales_.max(1)) + kNoiseReach * sigma;
  made->first = std::get<0>(locations_.min(1)) - reach;
  const double span = (std::get<0>(locations_.max(1)) + reach - made->first).max().item<double>();
  const auto knots = static_cast<int64_t>(std::ceil(span / made->step)) + 2;
  const at::Tensor offsets = made->step * at::arange(knots, weights_.options());
  const at::Tensor level = at::full({knots}, sigma, weights_.options());
  at::Tensor factor = at::empty({kTableOrder + 1, 1}, weights_.options());
  double coefficient = 1;
  for (int n = 0; n <= kTableOrder; ++n) {
    factor[n] = coefficient;
    coefficient *= made->step / (n + 1);
  }
  std::vector<at::Tensor> rows;
  for (int64_t d = 0; d < dim(); ++d) {
    const at::Tensor values = integrate(d, made->first[d] + offsets, level, kTableOrder);
    rows.push_back((values * factor).t());
  }
  made->values = at::stack(rows).contiguous();
  table_ = made;
  return table_;
}

void LogisticMixture::integrate_where(const at::Tensor& where, const at::Tensor& x,
                                      const at::Tensor& sigma, at::Tensor& out) const {
  for (int64_t d = 0; d < dim(); ++d) {
    const at::Tensor rows = at::nonzero(where.select(1, d)).view(-1);
    if (rows.numel() == 0) continue;
    const at::Tensor direct =
        integrate(d, x.select(1, d).index_select(0, rows), sigma.expand({rows.numel()}),
                  static_cast<int>(out.size(0)));
    out.select(2, d).index_copy_(1, rows, direct.narrow(0, 1, out.size(0)));
  }
}

score::Jet LogisticMixture::evaluate(const at::Tensor& x, const at::Tensor& sigma,
                                     int order) const {
  constexpr const char* kWhere = "distributions::LogisticMixture::evaluate";
  check(kWhere, x, order);
  at::NoGradGuard no_grad;
  const at::Tensor points = x.detach().to(at::kDouble);
  const at::Tensor levels = score::broadcast_sigma(kWhere, points, sigma, true);
  const int64_t size = points.size(0);
  at::Tensor derivatives = at::empty({order, size, dim()}, points.options());
  const bool one_sigma = size > 0 && (levels == levels[0]).all().item<bool>();
  if (!one_sigma || size < kTableRows) {
    for (int64_t d = 0; d < dim() && size > 0; ++d) {
      derivatives.select(2, d).copy_(
          integrate(d, points.select(1, d).contiguous(), levels, order).narrow(0, 1, order));
    }
  } else {
    const auto knots = table(levels[0].item<double>());
    for (int64_t first = 0; first < size; first += kTableChunk) {
      const int64_t count = std::min(kTableChunk, size - first);
      const at::Tensor x_chunk = points.narrow(0, first, count);
      at::Tensor out = derivatives.narrow(1, first, count);
      const at::Tensor outside = knots->interpolate(x_chunk, out);
      if (outside.any().item<bool>()) integrate_where(outside, x_chunk, levels[0], out);
    }
  }
  derivatives = derivatives.to(x.scalar_type());
  score::Jet jet{derivatives[0]};
  if (order >= 2) jet.s2 = linalg::SymmetricOperator::from_diagonal(derivatives[1]);
  if (order >= 3) jet.s3 = linalg::SymmetricTensor::from_diagonal(derivatives[2]);
  return jet;
}

at::Tensor LogisticMixture::log_density(const at::Tensor& x, const at::Tensor& sigma) const {
  constexpr const char* kWhere = "distributions::LogisticMixture::log_density";
  check(kWhere, x);
  const at::Tensor points = x.to(at::kDouble);
  const at::Tensor levels = score::broadcast_sigma(kWhere, points, sigma, true);
  at::Tensor sum = at::zeros({x.size(0)}, points.options());
  if (x.size(0) == 0) return sum.to(x.scalar_type());
  for (int64_t d = 0; d < dim(); ++d) {
    sum = sum + integrate(d, points.select(1, d), levels, 0)[0];
  }
  return sum.to(x.scalar_type());
}

at::Tensor LogisticMixture::sample(int64_t count, at::Generator generator) const {
  if (count == 0) return at::empty({0, dim()}, weights_.options());
  const at::Tensor which = at::multinomial(weights_, count, true, generator);  // [D, count]
  // The open interval: 0 would give an infinite draw.
  const at::Tensor uniform =
      at::rand({dim(), count}, generator, weights_.options()).clamp(1e-16, 1 - 1e-16);
  const at::Tensor draw =
      locations_.gather(1, which) + scales_.gather(1, which) * at::logit(uniform);
  return draw.t().contiguous();
}

}  // namespace scorejet::distributions
