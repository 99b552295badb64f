#include "bench/timing.h"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "src/base/error.h"

namespace scorejet::bench {
namespace {

// A line of /proc/self/status, in bytes.
double status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) return 1024 * std::stod(line.substr(key.size() + 1));
  }
  base::fail_runtime("bench::peak_memory", "/proc/self/status must have {}", key);
}

double seconds(const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  run();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

double peak_memory(const std::function<void()>& body) {
  malloc_trim(0);
  std::ofstream reset("/proc/self/clear_refs");
  reset << "5" << std::flush;  // forgets the high-water mark
  if (!reset) {
    base::fail_runtime("bench::peak_memory", "/proc/self/clear_refs must be writable");
  }
  const double before = status_bytes("VmRSS");
  body();
  return std::max(0.0, status_bytes("VmHWM") - before);
}

int rounds_within(double limit, const std::function<void()>& run) {
  run();
  return static_cast<int>(std::clamp(limit / seconds(run), 3.0, 100.0));
}

std::vector<double> median_seconds(const std::vector<Way>& ways,
                                   const std::function<void(int, int)>& observe) {
  std::vector<std::vector<double>> times(ways.size());
  int rounds = 0;
  for (const Way& way : ways) {
    way.run();
    rounds = std::max(rounds, way.rounds);
  }
  for (int round = 0; round < rounds; ++round) {
    for (size_t w = 0; w < ways.size(); ++w) {
      if (round < ways[w].rounds) times[w].push_back(seconds(ways[w].run));
    }
    if (observe) observe(round + 1, rounds);
  }
  std::vector<double> medians;
  for (std::vector<double>& all : times) {
    std::sort(all.begin(), all.end());
    medians.push_back(all[all.size() / 2]);
  }
  return medians;
}

}  // namespace scorejet::bench
