// scorejet calibrate RUN: can its error bars be trusted, and the correction that denoise
// --calibrated applies.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "scorejet/base/error.h"
#include "scorejet/base/progress.h"
#include "scorejet/io/atomic_file.h"
#include "scorejet/posterior/calibration_file.h"
#include "scorejet/report/plot.h"
#include "scorejet/training/run_folder.h"

namespace {

using namespace scorejet;

const std::vector<double> kLevels{0.5, 0.8, 0.9, 0.95, 0.99};

struct Options {
  std::string run, out, device = "auto";
  std::vector<double> sigmas;
  int64_t components = 20, limit = 1000;
  uint64_t seed = 0;
};

// The run's own σ, or five spread over its range.
std::vector<double> default_sigmas(const training::RunConfig& config) {
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

HeldOut held_out(const training::Run& run, int64_t limit) {
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

std::string sigma_label(const posterior::CalibrationRecord& record, const char* what) {
  return fmt::format("sigma {:.3g}, {}", record.fitted.sigma, what);
}

// `curve` gives a series of each summary, raw and calibrated.
template <typename Curve>
std::vector<report::Series> both(const std::vector<posterior::CalibrationRecord>& records,
                                 const Curve& curve) {
  std::vector<report::Series> all;
  for (const auto& record : records) {
    for (const bool raw : {true, false}) {
      report::Series series = curve(raw ? record.raw : record.calibrated);
      if (series.y.empty()) continue;
      series.label = sigma_label(record, raw ? "raw" : "calibrated");
      series.style = raw ? report::SeriesStyle::kMarkedLine : report::SeriesStyle::kThinLine;
      all.push_back(std::move(series));
    }
  }
  return all;
}

report::PlotOptions panel_options(const std::string& title, const std::string& x,
                                  const std::string& y) {
  report::PlotOptions options;
  options.title = title;
  options.xlabel = x;
  options.ylabel = y;
  options.key_outside = true;
  options.height = 280;
  return options;
}

// Empty where there are no components.
report::Panel coverage_panel(const std::vector<posterior::CalibrationRecord>& records,
                             const char* of,
                             std::vector<double> posterior::CalibrationSummary::*y) {
  report::Panel panel{both(records,
                           [&](const auto& summary) {
                             return report::Series{"", kLevels, summary.*y};
                           }),
                      panel_options(fmt::format("coverage of intervals: {}", of), "level",
                                    "share that holds the truth")};
  panel.series.push_back({"as it should be", {0.5, 1}, {0.5, 1}, report::SeriesStyle::kFaintLine});
  return panel;
}

report::Panel pit_panel(const std::vector<posterior::CalibrationRecord>& records, const char* of,
                        std::vector<double> posterior::CalibrationSummary::*bins) {
  std::vector<double> middle;
  for (int64_t i = 0; i < posterior::kPitBins; ++i) {
    middle.push_back((static_cast<double>(i) + 0.5) / posterior::kPitBins);
  }
  std::vector<report::Series> series = both(records, [&](const auto& summary) {
    report::Series one{"", middle, summary.*bins};
    for (double& share : one.y) share *= posterior::kPitBins;
    if (one.y.empty()) one.x.clear();
    return one;
  });
  return {series, panel_options(fmt::format("probability integral transform: {}", of), "PIT",
                                "density (1: calibrated)")};
}

nlohmann::ordered_json draw(const std::vector<posterior::CalibrationRecord>& records,
                            const std::filesystem::path& out) {
  using Summary = posterior::CalibrationSummary;
  nlohmann::ordered_json pictures = nlohmann::ordered_json::array();
  const auto plot = [&](const char* file, std::vector<report::Panel> panels, const char* caption) {
    std::erase_if(panels, [](const report::Panel& panel) { return panel.series.empty(); });
    if (panels.empty()) return;
    const auto result = report::write_panels(out / file, panels);
    if (!result.written) {
      apps::print_notice("no plot: " + result.reason);
    } else {
      pictures.push_back({{"file", file}, {"caption", caption}});
    }
  };
  const bool components = !records[0].raw.energy.empty();
  std::vector<report::Panel> coverage{coverage_panel(records, "coordinates", &Summary::coverage)};
  std::vector<report::Panel> pit{pit_panel(records, "coordinates", &Summary::pit)};
  if (components) {
    coverage.push_back(coverage_panel(records, "components", &Summary::component_coverage));
    pit.push_back(pit_panel(records, "components", &Summary::component_pit));
    report::Panel energy{
        {},
        panel_options("energy of the true residual", "leading components", "share inside them")};
    for (const auto& record : records) {
      report::Series series{
          fmt::format("sigma {:.3g}", record.fitted.sigma), {}, record.raw.energy};
      for (size_t k = 1; k <= series.y.size(); ++k) series.x.push_back(static_cast<double>(k));
      energy.series.push_back(series);
    }
    plot("energy.png", {energy}, "Share of the true residual's energy in the leading components.");
  }
  plot("coverage.png", coverage, "How often intervals held the truth, against their level.");
  plot("pit.png", pit, "Where in its predicted distribution the truth fell; flat is right.");
  return pictures;
}

void print_table(const std::vector<posterior::CalibrationRecord>& records) {
  fmt::print("{:>7} {:>11} {:>8} {:>8} {:>9} {:>9} {:>12} {:>9} {:>10}\n", "sigma", "", "cover 90",
             "comp. 90", "cov.error", "sharpness", "Mahal^2/D", "spread", "-log p / D");
  for (const auto& record : records) {
    for (const bool raw : {true, false}) {
      const posterior::CalibrationSummary& s = raw ? record.raw : record.calibrated;
      fmt::print(
          "{:>7.3g} {:>11} {:>8.3f} {:>8} {:>9.3f} {:>9.4f} {:>12.3f} {:>9.3f} {:>10.4f}\n",
          record.fitted.sigma, raw ? "raw" : "calibrated", s.coverage[2],
          s.component_coverage.empty() ? "-" : fmt::format("{:.3f}", s.component_coverage[2]),
          s.coverage_error, s.sharpness, s.mahalanobis_mean, s.mahalanobis_sd, s.log_loss);
    }
  }
}

void calibrate(Options o) {
  const training::Run run = training::load_run(o.run, o.device);
  if (run.model->max_order() < 2) {
    base::fail_argument("calibrate", "{} must have a second-order score; model.s2 is none", o.run);
  }
  if (o.components < 0) {
    base::fail_argument("calibrate", "--pcs must be at least 0; got {}", o.components);
  }
  o.components = std::min(o.components, run.model->dim());
  if (o.sigmas.empty()) o.sigmas = default_sigmas(run.config);
  const std::filesystem::path out =
      o.out.empty() ? std::filesystem::path(o.run) / "calibration" : std::filesystem::path(o.out);
  io::make_writable_directory(out);
  const HeldOut samples = held_out(run, o.limit);
  std::vector<posterior::CalibrationRecord> records;
  base::Progress bar("calibrate", static_cast<int64_t>(o.sigmas.size()));
  for (const double sigma : o.sigmas) {
    apps::print_notice(training::sigma_notice(run, sigma));
    records.push_back(posterior::calibrate(*run.model, samples.fit, samples.test, sigma,
                                           {.levels = kLevels,
                                            .num_components = o.components,
                                            .seed = o.seed,
                                            .counted = samples.counted})
                          .record);
    bar.update(static_cast<int64_t>(records.size()), "");
  }
  posterior::write_calibration(std::filesystem::path(o.run) / "calibration.json", records);
  nlohmann::ordered_json metrics;
  metrics["kind"] = "calibrate";
  metrics["title"] = fmt::format("Calibration on {} test samples", records[0].num_test);
  metrics["command"] = apps::command_line();
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
  metrics["pictures"] = draw(records, out);
  io::write_file(out / "metrics.json", metrics.dump(2) + "\n");
  print_table(records);
  fmt::print("written: {}, for denoise --calibrated\n",
             (std::filesystem::path(o.run) / "calibration.json").string());
}

}  // namespace

void scorejet::apps::add_calibrate(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "calibrate",
      "Measure on held-out data whether a run's error bars can be trusted: coverage of intervals, "
      "PIT histograms, Mahalanobis distances, residual energy, log-likelihood; and fit the "
      "correction (RUN/calibration.json) that denoise --calibrated applies.\n\nExample:\n"
      "  scorejet calibrate runs/mnist --sigma 0.5");
  auto o = std::make_shared<Options>();
  command->add_option("run", o->run, "run folder")->required();
  command
      ->add_option("--sigma", o->sigmas,
                   "noise levels; default: the run's own, or five over its range")
      ->delimiter(',');
  command->add_option("--pcs", o->components, "leading components measured, at most D; 0: none")
      ->capture_default_str();
  command->add_option("--limit", o->limit, "samples to fit on and to measure on; 0: all")
      ->capture_default_str();
  command->add_option("--seed", o->seed, "of the noise")->capture_default_str();
  command->add_option("--device", o->device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  command->add_option("--out", o->out, "folder of plots and metrics; default: RUN/calibration");
  command->callback([o] { calibrate(*o); });
}
