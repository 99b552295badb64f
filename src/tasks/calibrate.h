// Whether a run's error bars can be trusted, measured on held-out data, and the correction that
// makes them so: what `scorejet calibrate` does. Add a figure in to_json() of calibrate.cc; a
// measure is posterior/calibration.h's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "src/base/listener.h"
#include "src/posterior/calibration.h"

namespace scorejet::tasks {

struct CalibrateOptions {
  std::filesystem::path run;        // folder
  std::filesystem::path out = {};   // of plots and metrics.json; empty: RUN/calibration
  std::string device = "auto";      // auto, cpu, cuda or cuda:N
  std::vector<double> sigmas = {};  // noise levels; empty: the run's own, or five over its range
  int64_t components = 20;          // leading components measured, at most D; 0: none
  int64_t limit = 1000;             // samples to fit on and to measure on; 0: all
  uint64_t seed = 0;                // of the noise
  std::string command = {};         // for the record in metrics.json
};

struct CalibrateReport {
  std::vector<posterior::CalibrationRecord> records;  // one a sigma
  std::filesystem::path file;                         // RUN/calibration.json
  bool stopped = false;                               // by the listener: nothing was written
};

// Writes RUN/calibration.json, and metrics.json and plots to `out`. Progress: task "calibrate", in
// sigmas. Notices: a sigma that the run was not trained for; a plot that could not be drawn.
// Errors: std::invalid_argument naming the option; std::runtime_error for files and too few
// held-out samples.
CalibrateReport calibrate(CalibrateOptions options, const base::Listener& listener = {});

}  // namespace scorejet::tasks
