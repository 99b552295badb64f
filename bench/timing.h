// Seconds and peak memory of several ways to one result, measured side by side: what experiments of
// cost share.
#pragma once

#include <functional>
#include <vector>

namespace scorejet::bench {

// Largest resident memory while `body` runs, less what the process had before, in bytes; what the
// allocator keeps of earlier work is given back first. Errors: std::runtime_error where the system
// does not tell (/proc).
double peak_memory(const std::function<void()>& body);

struct Way {
  std::function<void()> run;
  int rounds = 7;  // timed, after one that is not
};

// Median seconds of each way. Rounds alternate between the ways, so that what else the machine does
// meets all of them alike. `observe` (may be empty) is told after each round how many are done.
std::vector<double> median_seconds(const std::vector<Way>& ways,
                                   const std::function<void(int done, int total)>& observe = {});

// Rounds of `run` that take about so many seconds, within [3, 100]; runs it twice.
int rounds_within(double seconds, const std::function<void()>& run);

}  // namespace scorejet::bench
