// Reading metrics.jsonl line by line. Decide here what a bad line means.
#include "src/report/metrics_log.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>

#include "src/base/error.h"
#include "src/io/atomic_file.h"

namespace scorejet::report {

MetricsLog read_metrics_log(const std::filesystem::path& path) {
  const std::string text = io::read_text(path);
  const std::string_view all(text);
  // Everything after this is empty: only the line that ends there may be torn.
  const size_t last = all.find_last_not_of(" \t\r\n");
  const size_t end = last == std::string_view::npos ? 0 : last + 1;
  MetricsLog log;
  int64_t line_number = 0;
  for (size_t begin = 0; begin < end;) {
    const size_t stop = std::min(all.find('\n', begin), end);
    const std::string_view line = all.substr(begin, stop - begin);
    begin = stop + 1;
    ++line_number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto parsed = nlohmann::json::parse(line, nullptr, false);
    if (parsed.is_discarded() && begin > end) {
      log.torn = true;
      break;
    }
    if (!parsed.is_object() || !parsed.contains("step") || !parsed["step"].is_number()) {
      base::fail_runtime("report::read_metrics_log",
                         "line {} of {} must be a JSON object with a number \"step\"; got \"{}\"",
                         line_number, path.string(), line.substr(0, 60));
    }
    ++log.num_lines;
    const double step = parsed["step"].get<double>();
    for (const auto& [key, value] : parsed.items()) {
      if (key == "step" || !(value.is_number() || value.is_null())) continue;
      Curve& curve = log.curves[key];
      curve.steps.push_back(step);
      curve.values.push_back(value.is_null() ? std::numeric_limits<double>::quiet_NaN()
                                             : value.get<double>());
    }
  }
  return log;
}

}  // namespace scorejet::report
