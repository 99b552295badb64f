// metrics.jsonl as curves: one JSON object a line, every number in it a point over "step".
// Change how the file is read here; how curves are shown is learning_curves.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace scorejet::report {

struct Curve {
  std::vector<double> steps, values;  // equally long; a null in the file is a NaN here
};

struct MetricsLog {
  std::map<std::string, Curve> curves;  // by key, without "step"
  int64_t num_lines = 0;                // read
  bool torn = false;                    // the last line was cut off, and left out
};

// The file of a run, also of one that is still being written: a last line that does not parse is
// left out. Errors: std::runtime_error naming the file and line: another line that is not a JSON
// object with a number "step", or a file that cannot be read.
MetricsLog read_metrics_log(const std::filesystem::path& path);

}  // namespace scorejet::report
