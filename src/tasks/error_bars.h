// The error bars of `scorejet denoise`: as the posterior has them, or by the correction that
// `scorejet calibrate` fitted; their intervals, and how often these held the truth. Add a figure of
// error bars to ErrorBarFigures and put_error_bars().
#pragma once

#include <ATen/core/Tensor.h>

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <vector>

#include "scorejet/calibration.h"
#include "scorejet/tasks.h"
#include "src/tasks/denoiser.h"

namespace scorejet::tasks {

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

// `clean` may be undefined. `counted`: bool [D], the coordinates of coverage; undefined: all.
ErrorBarFigures measure_error_bars(const ErrorBars& bars, const posterior::Posterior& result,
                                   const at::Tensor& clean, const at::Tensor& counted);

// Adds those that there are.
void put_error_bars(nlohmann::ordered_json& metrics, const ErrorBarFigures& figures);

}  // namespace scorejet::tasks
