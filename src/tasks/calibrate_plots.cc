#include "src/tasks/calibrate_plots.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>

#include "src/report/plot.h"

namespace scorejet::tasks {
namespace {

std::string calibration_label(const posterior::CalibrationRecord& record, const char* what) {
  return fmt::format("sigma {:.3g}, {}", record.fitted.sigma, what);
}

// `curve` gives a series of each summary, raw and calibrated.
template <typename Curve>
std::vector<report::Series> raw_and_calibrated(
    const std::vector<posterior::CalibrationRecord>& records, const Curve& curve) {
  std::vector<report::Series> all;
  for (const auto& record : records) {
    for (const bool raw : {true, false}) {
      report::Series series = curve(raw ? record.raw : record.calibrated);
      if (series.y.empty()) continue;
      series.label = calibration_label(record, raw ? "raw" : "calibrated");
      series.style = raw ? report::SeriesStyle::kMarkedLine : report::SeriesStyle::kThinLine;
      all.push_back(std::move(series));
    }
  }
  return all;
}

report::PlotOptions calibration_options(const std::string& title, const std::string& x,
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
  report::Panel panel{
      raw_and_calibrated(records,
                         [&](const auto& summary) {
                           return report::Series{"", records[0].fitted.levels, summary.*y};
                         }),
      calibration_options(fmt::format("coverage of intervals: {}", of), "level",
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
  std::vector<report::Series> series = raw_and_calibrated(records, [&](const auto& summary) {
    report::Series one{"", middle, summary.*bins};
    for (double& share : one.y) share *= posterior::kPitBins;
    if (one.y.empty()) one.x.clear();
    return one;
  });
  return {series, calibration_options(fmt::format("probability integral transform: {}", of), "PIT",
                                      "density (1: calibrated)")};
}

}  // namespace

nlohmann::ordered_json draw_calibration(const std::vector<posterior::CalibrationRecord>& records,
                                        const std::filesystem::path& out,
                                        const base::Listener& listener) {
  using Summary = posterior::CalibrationSummary;
  nlohmann::ordered_json pictures = nlohmann::ordered_json::array();
  const auto plot = [&](const char* file, std::vector<report::Panel> panels, const char* caption) {
    std::erase_if(panels, [](const report::Panel& panel) { return panel.series.empty(); });
    if (panels.empty()) return;
    const auto result = report::write_panels(out / file, panels);
    if (!result.written) {
      listener.on_notice("no plot: " + result.reason);
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
    report::Panel energy{{},
                         calibration_options("energy of the true residual", "leading components",
                                             "share inside them")};
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

}  // namespace scorejet::tasks
