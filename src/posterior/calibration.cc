#include "scorejet/calibration.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "src/base/check.h"
#include "src/base/noise.h"
#include "src/linalg/lanczos.h"

namespace scorejet::posterior {
namespace {

constexpr const char* kFit = "posterior::fit_recalibration";

// z of a standard normal with P(|Z| <= z) = level.
double gaussian_width(double level) {
  return at::special_ndtri(at::full({}, 0.5 + 0.5 * level, at::kDouble)).item<double>();
}

void check_levels(const char* where, const std::vector<double>& levels) {
  double last = 0;
  for (const double level : levels) {
    if (!(level > last && level < 1)) {
      base::fail_argument(where, "levels must ascend inside (0, 1); got {} after {}", level, last);
    }
    last = level;
  }
}

// The z that count, as one row.
at::Tensor counted_z(const at::Tensor& z, const at::Tensor& counted) {
  if (!counted.defined()) return z.flatten();
  base::check_shape("posterior::calibration", "counted", counted, {z.size(1)});
  return z.index_select(1, at::nonzero(counted).squeeze(-1)).flatten();
}

// The ⌈(n + 1) level⌉-th smallest |z| of each level.
std::vector<double> conformal_widths(const at::Tensor& z, const std::vector<double>& levels) {
  const at::Tensor sorted = std::get<0>(z.abs().sort());
  const auto n = static_cast<double>(sorted.size(0));
  std::vector<double> widths;
  for (const double level : levels) {
    const auto rank = static_cast<int64_t>(std::ceil((n + 1) * level));
    if (rank > sorted.size(0)) {
      base::fail_argument(kFit, "level {} needs at least {} values; got {}", level,
                          std::ceil(level / (1 - level)), sorted.size(0));
    }
    widths.push_back(sorted[rank - 1].item<double>());
  }
  return widths;
}

std::vector<double> coverage(const at::Tensor& z, const std::vector<double>& widths) {
  std::vector<double> shares;
  const at::Tensor distance = z.abs();
  for (const double width : widths) {
    shares.push_back((distance <= width).to(at::kDouble).mean().item<double>());
  }
  return shares;
}

// Shares of Φ(z) in equal bins of [0, 1].
std::vector<double> pit_histogram(const at::Tensor& z) {
  const at::Tensor bin = (at::special_ndtr(z) * static_cast<double>(kPitBins))
                             .floor()
                             .clamp_max(static_cast<double>(kPitBins - 1))  // Φ = 1 in float32
                             .to(at::kLong);
  const at::Tensor share =
      at::bincount(bin, {}, kPitBins).to(at::kDouble) / static_cast<double>(z.numel());
  return {share.data_ptr<double>(), share.data_ptr<double>() + kPitBins};
}

std::vector<double> to_vector(const at::Tensor& t) {
  const at::Tensor values = t.to(at::kDouble).contiguous();
  return {values.data_ptr<double>(), values.data_ptr<double>() + values.numel()};
}

}  // namespace

Scores score_posterior(const Gaussian& posterior, const at::Tensor& clean, int64_t num_components) {
  const auto d = static_cast<double>(posterior.dim());
  Scores scores;
  const at::Tensor mahalanobis = posterior.mahalanobis_squared(clean);
  const at::Tensor residual = clean - posterior.mean();
  scores.z = (residual / posterior.standard_deviation()).to(at::kFloat);
  scores.mahalanobis = mahalanobis / d;
  scores.log_loss = -posterior.log_likelihood(clean) / d;
  scores.variance = posterior.variance().to(at::kDouble).mean(-1);
  scores.crps = posterior.crps(clean).to(at::kDouble).mean(-1);
  if (num_components == 0) {
    scores.z_component = scores.energy = at::empty({clean.size(0), 0}, at::kDouble);
    return scores;
  }
  const linalg::EigenPairs top = linalg::top_eigenpairs(posterior.covariance(), num_components);
  const at::Tensor along =
      at::matmul(top.vectors.transpose(1, 2), residual.unsqueeze(-1)).squeeze(-1).to(at::kDouble);
  scores.z_component = along / top.values.to(at::kDouble).sqrt();
  scores.energy =
      along.square().cumsum(-1) / residual.to(at::kDouble).square().sum(-1, /*keepdim=*/true);
  return scores;
}

Scores score_field(const score::ScoreField& field, const at::Tensor& clean, double sigma,
                   uint64_t seed, int64_t num_components) {
  constexpr int64_t kBlock = 100;  // samples at a time
  if (field.max_order() < 2) {
    base::fail_argument("posterior::score_field",
                        "the field must have a second-order score; got one of order {}",
                        field.max_order());
  }
  at::NoGradGuard no_grad;
  std::vector<Scores> parts;
  for (int64_t first = 0; first < clean.size(0); first += kBlock) {
    const at::Tensor block = clean.narrow(0, first, std::min(kBlock, clean.size(0) - first));
    const at::Tensor noisy = base::add_row_noise(block, sigma, seed, kCalibrationNoise, first);
    const at::Tensor levels = at::full({block.size(0)}, sigma, block.options());
    parts.push_back(
        score_posterior(Gaussian::from_jet(noisy, levels, field.evaluate(noisy, levels, 2)), block,
                        num_components));
  }
  return concatenate(parts);
}

Scores concatenate(const std::vector<Scores>& parts) {
  const auto join = [&](at::Tensor Scores::*member) {
    std::vector<at::Tensor> tensors;
    for (const Scores& part : parts) tensors.push_back(part.*member);
    return at::cat(tensors);
  };
  return {join(&Scores::z),           join(&Scores::z_component), join(&Scores::energy),
          join(&Scores::mahalanobis), join(&Scores::log_loss),    join(&Scores::variance),
          join(&Scores::crps)};
}

Scores scaled(const Scores& scores, double temperature) {
  const double root = std::sqrt(temperature);
  Scores result = scores;
  result.z = scores.z / root;
  result.z_component = scores.z_component / root;
  result.mahalanobis = scores.mahalanobis / temperature;
  // −log N/D = ½ [ln 2π + ln det Cov/D + mahalanobis]
  result.log_loss =
      scores.log_loss + 0.5 * (std::log(temperature) + result.mahalanobis - scores.mahalanobis);
  result.variance = scores.variance * temperature;
  result.crps = at::Tensor();
  return result;
}

std::vector<double> gaussian_widths(const std::vector<double>& levels) {
  std::vector<double> widths;
  for (const double level : levels) widths.push_back(gaussian_width(level));
  return widths;
}

Recalibration fit_recalibration(const Scores& scores, double sigma,
                                const std::vector<double>& levels, const at::Tensor& counted) {
  check_levels(kFit, levels);
  Recalibration fitted;
  fitted.sigma = sigma;
  fitted.levels = levels;
  fitted.temperature = scores.mahalanobis.mean().item<double>();
  const double root = std::sqrt(fitted.temperature);
  fitted.widths = conformal_widths(counted_z(scores.z, counted) / root, levels);
  if (scores.z_component.numel() > 0) {
    fitted.component_widths = conformal_widths(scores.z_component.flatten() / root, levels);
  }
  return fitted;
}

Recalibration interpolate(const std::vector<Recalibration>& fitted, double sigma) {
  constexpr const char* kWhere = "posterior::interpolate";
  constexpr double kSlack = 1e-6;  // σ given in decimal
  if (fitted.empty()) base::fail_argument(kWhere, "there must be a fitted sigma; got none");
  std::vector<Recalibration> sorted = fitted;
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.sigma < b.sigma; });
  const double low = sorted.front().sigma, high = sorted.back().sigma;
  if (!(sigma >= low * (1 - kSlack) && sigma <= high * (1 + kSlack))) {
    base::fail_domain(kWhere,
                      "sigma must lie where the posterior was calibrated, {:g} to {:g}; got "
                      "{:g}",
                      low, high, sigma);
  }
  size_t right = 0;
  while (right + 1 < sorted.size() && sorted[right].sigma < sigma) ++right;
  if (right == 0) return sorted[0];
  const Recalibration &a = sorted[right - 1], &b = sorted[right];
  const double t = std::log(sigma / a.sigma) / std::log(b.sigma / a.sigma);
  const auto mix = [t](const std::vector<double>& p, const std::vector<double>& q) {
    std::vector<double> result;
    for (size_t i = 0; i < std::min(p.size(), q.size()); ++i) {
      result.push_back((1 - t) * p[i] + t * q[i]);
    }
    return result;
  };
  Recalibration result = b;
  result.sigma = sigma;
  result.temperature = std::exp((1 - t) * std::log(a.temperature) + t * std::log(b.temperature));
  result.widths = mix(a.widths, b.widths);
  result.component_widths = mix(a.component_widths, b.component_widths);
  return result;
}

double width_at(const Recalibration& recalibration, double level) {
  const std::vector<double>& levels = recalibration.levels;
  if (levels.empty() || !(level >= levels.front() && level <= levels.back())) {
    base::fail_domain("posterior::width_at", "level must lie between the fitted {} and {}; got {}",
                      levels.empty() ? 0.0 : levels.front(), levels.empty() ? 0.0 : levels.back(),
                      level);
  }
  const size_t right =
      static_cast<size_t>(std::lower_bound(levels.begin(), levels.end(), level) - levels.begin());
  if (right == 0) return recalibration.widths[0];
  const double a = gaussian_width(levels[right - 1]), b = gaussian_width(levels[right]);
  const double t = (gaussian_width(level) - a) / (b - a);
  return (1 - t) * recalibration.widths[right - 1] + t * recalibration.widths[right];
}

CalibrationSummary summarise(const Scores& scores, const std::vector<double>& levels,
                             const std::vector<double>& widths,
                             const std::vector<double>& component_widths,
                             const at::Tensor& counted) {
  check_levels("posterior::summarise", levels);
  const at::Tensor z = counted_z(scores.z, counted);
  CalibrationSummary summary;
  summary.coverage = coverage(z, widths);
  summary.pit = pit_histogram(z);
  if (scores.z_component.numel() > 0) {
    const at::Tensor along = scores.z_component.flatten();
    summary.component_coverage = coverage(along, component_widths);
    summary.component_pit = pit_histogram(along);
    summary.energy = to_vector(scores.energy.mean(0));
  }
  summary.mahalanobis_mean = scores.mahalanobis.mean().item<double>();
  if (scores.mahalanobis.size(0) > 1) {
    summary.mahalanobis_sd = scores.mahalanobis.std().item<double>();
  }
  summary.sharpness = std::sqrt(scores.variance.mean().item<double>());
  summary.log_loss = scores.log_loss.mean().item<double>();
  for (size_t i = 0; i < levels.size(); ++i) {
    summary.coverage_error +=
        std::abs(summary.coverage[i] - levels[i]) / static_cast<double>(levels.size());
  }
  return summary;
}

Calibration calibrate(const score::ScoreField& field, const at::Tensor& fit, const at::Tensor& test,
                      double sigma, const CalibrateOptions& options) {
  Calibration result;
  result.test = score_field(field, test, sigma, options.seed, options.num_components);
  CalibrationRecord& record = result.record;
  record.fitted =
      fit_recalibration(score_field(field, fit, sigma, options.seed + 1, options.num_components),
                        sigma, options.levels, options.counted);
  record.num_fit = fit.size(0);
  record.num_test = test.size(0);
  const std::vector<double> gaussian = gaussian_widths(options.levels);
  record.raw = summarise(result.test, options.levels, gaussian, gaussian, options.counted);
  record.calibrated =
      summarise(scaled(result.test, record.fitted.temperature), options.levels,
                record.fitted.widths, record.fitted.component_widths, options.counted);
  return result;
}

}  // namespace scorejet::posterior
