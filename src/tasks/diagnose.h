// Whether chains have converged and what their draws are worth: what `scorejet diagnose` does. The
// estimators are sampling/diagnostics.h and comparison.h. Add a column in columns_of(), a figure in
// DiagnoseReport and to_json() (diagnose.cc).
#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "src/base/listener.h"
#include "src/sampling/chain_file.h"

namespace scorejet::tasks {

struct DiagnoseOptions {
  std::filesystem::path file;             // as sampling::read_chains() takes it
  std::filesystem::path out = {};         // folder to write; empty: that of the file
  std::filesystem::path reference = {};   // a sample to measure the energy distance to
  std::filesystem::path modes = {};       // centres of modes, a row each
  std::vector<int64_t> coordinates = {};  // up to 4 to plot; empty: those of the least bulk ESS
  double burn_in = 0.1;                   // share of the positions to drop first
  std::string command = {};               // for the record in diagnostics.json
};

struct DiagnoseColumn {
  const char* name;    // in diagnostics.json
  const char* title;   // in a table
  at::Tensor values;   // [D]
  bool tells_quality;  // of the chains, not of what they sample
};

struct Quantiles {
  double min = NAN, median = NAN, max = NAN;
};
Quantiles quantiles(const at::Tensor& values);  // of those that are not NaN

struct Acceptance {
  double mean = 0, min = 0, max = 0;  // over chains
};

struct SampleComparison {
  double distance = 0, coefficient = 0;  // sampling::EnergyDistance
  int64_t num_draws = 0, num_reference = 0;
};

// How the chains share their time between modes, each draw in that of the nearest centre.
struct ModeVisits {
  std::vector<double> fractions;
  double entropy = 0;
  int64_t num_transitions = 0;
};

struct DiagnoseReport {
  sampling::ChainFile chains;
  std::vector<DiagnoseColumn> columns;
  std::vector<int64_t> worst;  // coordinates from the smallest bulk ESS up
  std::optional<Acceptance> acceptance;
  std::optional<Quantiles> ess_per_1000_evaluations, ess_per_second;  // bulk ESS of coordinates
  std::optional<SampleComparison> reference;
  std::optional<ModeVisits> modes;
  std::filesystem::path out;
};

// Writes diagnostics.json, trace.png, rank.png and autocorrelation.png. Notices: a plot that could
// not be drawn. Errors: as sampling::read_chains(); std::invalid_argument for coordinates;
// std::runtime_error naming a file that does not fit.
DiagnoseReport diagnose(const DiagnoseOptions& options, const base::Listener& listener = {});

}  // namespace scorejet::tasks
