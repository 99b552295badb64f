#include "scorejet/calibration.h"

#include <nlohmann/json.hpp>

#include "src/base/error.h"
#include "src/io/atomic_file.h"

namespace scorejet::posterior {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const CalibrationSummary& s) {
  return {{"coverage", s.coverage},
          {"component_coverage", s.component_coverage},
          {"coverage_error", s.coverage_error},
          {"mahalanobis_mean", s.mahalanobis_mean},
          {"mahalanobis_sd", s.mahalanobis_sd},
          {"log_loss", s.log_loss},
          {"sharpness", s.sharpness},
          {"residual_energy", s.energy},
          {"pit", s.pit},
          {"component_pit", s.component_pit}};
}

}  // namespace

void write_calibration(const std::filesystem::path& file,
                       const std::vector<CalibrationRecord>& records) {
  Json list = Json::array();
  for (const CalibrationRecord& record : records) {
    const Recalibration& fitted = record.fitted;
    list.push_back({{"sigma", fitted.sigma},
                    {"temperature", fitted.temperature},
                    {"levels", fitted.levels},
                    {"widths", fitted.widths},
                    {"component_widths", fitted.component_widths},
                    {"num_fit", record.num_fit},
                    {"num_test", record.num_test},
                    {"raw", to_json(record.raw)},
                    {"calibrated", to_json(record.calibrated)}});
  }
  io::write_file(file, list.dump(2) + "\n");
}

std::vector<Recalibration> read_recalibrations(const std::filesystem::path& file) {
  constexpr const char* kWhere = "posterior::read_recalibrations";
  if (!std::filesystem::exists(file)) {
    base::fail_runtime(kWhere, "{} is missing; make it with: scorejet calibrate {}", file.string(),
                       file.parent_path().string());
  }
  try {
    std::vector<Recalibration> fitted;
    for (const Json& entry : Json::parse(io::read_text(file))) {
      fitted.push_back({entry.at("sigma").get<double>(), entry.at("temperature").get<double>(),
                        entry.at("levels").get<std::vector<double>>(),
                        entry.at("widths").get<std::vector<double>>(),
                        entry.at("component_widths").get<std::vector<double>>()});
      if (!(fitted.back().sigma > 0 && fitted.back().temperature > 0)) {
        base::fail_runtime(kWhere, "{} must have positive sigmas and temperatures; got {} and {}",
                           file.string(), fitted.back().sigma, fitted.back().temperature);
      }
      if (fitted.back().levels.size() != fitted.back().widths.size()) {
        base::fail_runtime(kWhere, "{} must have a width a level; got {} for {}", file.string(),
                           fitted.back().widths.size(), fitted.back().levels.size());
      }
    }
    if (fitted.empty()) {
      base::fail_runtime(kWhere, "{} must hold a correction a sigma; got none", file.string());
    }
    return fitted;
  } catch (const nlohmann::json::exception& error) {
    base::fail_runtime(kWhere, "{} must be what scorejet calibrate wrote: {}", file.string(),
                       error.what());
  }
}

}  // namespace scorejet::posterior
