// The error bars of `scorejet denoise`: as the posterior has them, or by the correction that
// `scorejet calibrate` fitted; their intervals, and how often these held the truth. Add a figure of
// error bars in put_error_bars().
#pragma once

#include <ATen/core/Tensor.h>

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <vector>

#include "apps/denoise_field.h"
#include "scorejet/posterior/calibration.h"

namespace scorejet::apps {

struct ErrorBarOptions {
  bool calibrated = false;
  std::optional<double> level;                   // of intervals; none: no intervals
  std::vector<posterior::Recalibration> fitted;  // at one sigma or more, where calibrated
};

// Those at one sigma.
struct ErrorBars {
  bool calibrated = false;
  double temperature = 1;       // times every covariance
  std::optional<double> level;  // of intervals
  double width = 0;             // their half-width, in standard deviations
  double raw_width = 0;         // a Gaussian's, in standard deviations before the temperature
};

// Checks the options against the request, and reads RUN/calibration.json into `fitted` where they
// are to be calibrated. Errors: std::invalid_argument naming the option: a level outside (0, 1), a
// correction of anything but a run's own s2; std::runtime_error as posterior::read_recalibrations.
void open_error_bars(ErrorBarOptions& options, const DenoiserRequest& request);

// Errors: std::domain_error for a sigma or a level where nothing was fitted.
ErrorBars error_bars_at(const ErrorBarOptions& options, double sigma);

// The interval of each coordinate, [B, D], NaN where the variance is negative; undefined tensors
// where no level was asked for. `result` has the temperature in it.
posterior::Interval intervals(const ErrorBars& bars, const posterior::Posterior& result);

// Adds temperature and level to the metrics and, where `clean` is defined, the predicted variance
// over the squared error and the share of the clean coordinates that lie in their intervals; with
// and without the correction. `counted`: bool [D], the coordinates of that share; undefined: all.
void put_error_bars(nlohmann::ordered_json& metrics, const ErrorBars& bars,
                    const posterior::Posterior& result, const at::Tensor& clean,
                    const at::Tensor& counted);

}  // namespace scorejet::apps
