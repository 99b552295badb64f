// One training run with every default, and what became of it: used by the test of a few cases and
// by the program that goes through all (check_defaults.cc).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "tests/defaults/sets.h"

namespace scorejet::defaults {

struct CheckCase {
  std::string set;
  double ratio = 0.1;  // noise.sigma over the data's sd, root mean square over the columns
  int64_t seed = 0;
  int64_t steps = 300;
};

struct CheckResult {
  double sigma = 0;
  double first = 0, second = 0;  // validation losses at the end
  double predicted = 0;          // mean trace of the posterior covariance over D sigma²
  double error = 0;              // mean squared error of the posterior mean over D sigma²
  double seconds = 0;
  std::string failure;  // the error's text; empty: none
};

// Trains in a folder of its own, in all else by default. Judged on noisy rows of the set's law
// that training did not see; of fewer than ten rows on those themselves.
CheckResult run_case(const CheckCase& which, const SampleSet& set);

// "good", or a line that says what is wrong or why the ratio may be what it is.
std::string verdict(const CheckResult& result);

}  // namespace scorejet::defaults
