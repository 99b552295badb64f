#include "scorejet/tasks.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "scorejet/calibration.h"
#include "scorejet/dataset.h"
#include "src/base/error.h"
#include "src/io/atomic_file.h"
#include "src/tasks/calibrate_plots.h"
#include "src/training/run_folder.h"

namespace scorejet::tasks {
namespace {

using CalibrateJson = nlohmann::ordered_json;

// The run's own σ, or five spread over its range.
std::vector<double> calibration_sigmas(const training::RunConfig& config) {
  const double low = config.noise.sigma, high = config.noise.sigma_max;
  if (high <= low) return {low};
  std::vector<double> sigmas;
  constexpr int kCount = 5;
  for (int i = 0; i < kCount; ++i) {
    sigmas.push_back(low * std::pow(high / low, static_cast<double>(i) / (kCount - 1)));
  }
  return sigmas;
}

// Samples to fit on and others to measure on, neither trained on.
struct HeldOut {
  at::Tensor fit, test;
  at::Tensor counted;  // coordinates that vary in the training set
};

HeldOut held_out_samples(const training::Run& run, int64_t limit) {
  const auto splits =
      data::load_splits(run.config.data.name, run.config.data.dir, run.config.data.validation);
  const data::Dataset &fit = splits.validation, &test = splits.test;
  HeldOut result;
  result.counted = data::varying_coordinates(splits.train);
  const auto first = [limit](const data::Dataset& set) {
    return set.slice(0, limit > 0 ? std::min(limit, set.size()) : set.size());
  };
  if (!fit.samples.is_same(test.samples) && fit.samples.data_ptr() != test.samples.data_ptr()) {
    result.fit = first(fit);
    result.test = first(test);
    return result;
  }
  // Data of the user's own have no test set: the held-out samples, halved.
  const at::Tensor all = first(fit);
  if (all.size(0) < 2) {
    base::fail_runtime("calibrate", "{} must hold out at least 2 samples (data.validation); got {}",
                       run.config.data.name, all.size(0));
  }
  result.fit = all.narrow(0, 0, all.size(0) / 2);
  result.test = all.narrow(0, all.size(0) / 2, all.size(0) - all.size(0) / 2);
  return result;
}

CalibrateJson to_json(const std::vector<posterior::CalibrationRecord>& records,
                      const std::string& command) {
  CalibrateJson metrics;
  metrics["kind"] = "calibrate";
  metrics["title"] = fmt::format("Calibration on {} test samples", records[0].num_test);
  metrics["command"] = command;
  metrics["num_fit"] = records[0].num_fit;
  metrics["num_test"] = records[0].num_test;
  for (const auto& record : records) {
    const std::string at = fmt::format("_at_sigma_{:.3g}", record.fitted.sigma);
    metrics["temperature" + at] = record.fitted.temperature;
    metrics["coverage_90_raw" + at] = record.raw.coverage[2];
    metrics["coverage_90_calibrated" + at] = record.calibrated.coverage[2];
    metrics["mahalanobis_raw" + at] = record.raw.mahalanobis_mean;
    metrics["mahalanobis_calibrated" + at] = record.calibrated.mahalanobis_mean;
  }
  return metrics;
}

}  // namespace

CalibrateReport calibrate(CalibrateOptions o, const base::Listener& listener) {
  const training::Run run = training::load_run(o.run, o.device);
  if (run.model->max_order() < 2) {
    base::fail_argument("calibrate", "{} must have a second-order score; model.s2 is none",
                        o.run.string());
  }
  if (o.components < 0) {
    base::fail_argument("calibrate", "--pcs must be at least 0; got {}", o.components);
  }
  if (o.sigmas.empty()) o.sigmas = calibration_sigmas(run.config);
  if (o.out.empty()) o.out = o.run / "calibration";
  io::make_writable_directory(o.out);
  const HeldOut samples = held_out_samples(run, o.limit);
  const posterior::CalibrateOptions options{
      .num_components = std::min(o.components, run.model->dim()),
      .seed = o.seed,
      .counted = samples.counted};
  CalibrateReport report;
  report.file = o.run / "calibration.json";
  listener.on_progress({"calibrate", 0, std::ssize(o.sigmas), 0, ""});
  for (const double sigma : o.sigmas) {
    if (listener.stopped()) {
      report.stopped = true;
      return report;
    }
    listener.on_notice(training::sigma_notice(run, sigma));
    report.records.push_back(
        posterior::calibrate(*run.model, samples.fit, samples.test, sigma, options).record);
    listener.on_progress({"calibrate", std::ssize(report.records), std::ssize(o.sigmas), 0, ""});
  }
  posterior::write_calibration(report.file, report.records);
  CalibrateJson metrics = to_json(report.records, o.command);
  metrics["pictures"] = draw_calibration(report.records, o.out, listener);
  io::write_file(o.out / "metrics.json", metrics.dump(2) + "\n");
  return report;
}

}  // namespace scorejet::tasks
