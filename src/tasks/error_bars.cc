#include "src/tasks/error_bars.h"

#include <ATen/ATen.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "scorejet/calibration.h"
#include "src/base/error.h"
#include "src/training/run_folder.h"

namespace scorejet::tasks {
namespace {

posterior::Interval interval_around(const posterior::Posterior& result, double width) {
  const at::Tensor reach = width * result.variance.sqrt();
  return {result.mean - reach, result.mean + reach};
}

double covered_share(const posterior::Interval& interval, const at::Tensor& clean,
                     const at::Tensor& counted) {
  const at::Tensor inside = clean.ge(interval.lower).logical_and(clean.le(interval.upper));
  const at::Tensor share = inside.to(at::kDouble).mean(0);  // a coordinate
  return (counted.defined() ? share.masked_select(counted) : share).mean().item<double>();
}

}  // namespace

void open_error_bars(ErrorBarOptions& options, const DenoiserRequest& request) {
  if (options.level && !(*options.level > 0 && *options.level < 1)) {
    base::fail_argument("denoise", "--level must lie between 0 and 1; got {}", *options.level);
  }
  if (!options.calibrated) return;
  if (request.run.empty()) {
    base::fail_argument("denoise",
                        "--calibrated needs a run, and what `scorejet calibrate RUN` fitted to it; "
                        "got --denoiser {}",
                        request.file);
  }
  if (request.covariance != "auto") {
    base::fail_argument("denoise",
                        "--calibrated corrects the run's own s2: --covariance must be auto; got {}",
                        request.covariance);
  }
  const auto folder = training::RunFolder::open(request.run);
  options.fitted = posterior::read_recalibrations(folder.path() / "calibration.json");
}

ErrorBars error_bars_at(const ErrorBarOptions& options, double sigma) {
  ErrorBars bars;
  bars.calibrated = options.calibrated;
  bars.level = options.level;
  if (bars.level) bars.width = bars.raw_width = posterior::gaussian_widths({*bars.level})[0];
  if (!options.calibrated) return bars;
  const posterior::Recalibration fitted = posterior::interpolate(options.fitted, sigma);
  bars.temperature = fitted.temperature;
  if (bars.level) bars.width = posterior::width_at(fitted, *bars.level);
  return bars;
}

posterior::Interval intervals(const ErrorBars& bars, const posterior::Posterior& result) {
  if (!bars.level) return {};
  return interval_around(result, bars.width);
}

ErrorBarFigures measure_error_bars(const ErrorBars& bars, const posterior::Posterior& result,
                                   const at::Tensor& clean, const at::Tensor& counted) {
  ErrorBarFigures figures;
  if (bars.calibrated) figures.temperature = bars.temperature;
  figures.level = bars.level;
  if (!clean.defined() || !result.variance.defined()) return figures;
  const double ratio =
      (result.variance.mean() / (clean - result.mean).square().mean()).item<double>();
  figures.variance_over_mse = ratio;
  if (bars.calibrated) figures.variance_over_mse_raw = ratio / bars.temperature;
  if (!bars.level) return figures;
  figures.coverage = covered_share(interval_around(result, bars.width), clean, counted);
  if (!bars.calibrated) return figures;
  const double raw_width = bars.raw_width / std::sqrt(bars.temperature);  // in corrected deviations
  figures.coverage_raw = covered_share(interval_around(result, raw_width), clean, counted);
  return figures;
}

void put_error_bars(nlohmann::ordered_json& metrics, const ErrorBarFigures& figures) {
  const auto put = [&](const char* key, const std::optional<double>& value) {
    if (value) metrics[key] = *value;
  };
  put("temperature", figures.temperature);
  put("level", figures.level);
  put("predicted_variance_over_mse", figures.variance_over_mse);
  put("predicted_variance_over_mse_raw", figures.variance_over_mse_raw);
  put("coverage", figures.coverage);
  put("coverage_raw", figures.coverage_raw);
}

}  // namespace scorejet::tasks
