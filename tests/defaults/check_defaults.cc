// Trains with every default on twenty sets and prints a table.
//   check_defaults [DATA_DIR] [SET ...]
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "tests/defaults/check.h"

int main(int argc, char** argv) {
  using namespace scorejet::defaults;  // NOLINT
  const std::string data_dir = argc > 1 ? argv[1] : "data";
  std::vector<std::string> sets(argv + std::min(argc, 2), argv + argc);
  if (sets.empty()) sets = set_names();
  const double ratios[] = {0.01, 0.1, 0.5, 1, 2};
  fmt::print("| set | σ/sd | seed | s1 | s2 | predicted | error | ratio | s | verdict |\n");
  fmt::print("|---|---|---|---|---|---|---|---|---|---|\n");
  int bad = 0;
  for (const std::string& name : sets) {
    const SampleSet set = make_set(name, data_dir);
    for (int64_t seed = 0; seed < 5; ++seed) {
      const char* only = std::getenv("RATIO");
      if (only && std::atof(only) != ratios[seed]) continue;
      const CheckResult r = run_case({name, ratios[seed], seed}, set);
      const std::string text = verdict(r);
      bad += text != "good";
      fmt::print("| {} | {:g} | {} | {:.3g} | {:.3g} | {:.3g} | {:.3g} | {:.3g} | {:.1f} | {} |\n",
                 name, ratios[seed], seed, r.first, r.second, r.predicted, r.error,
                 r.predicted / r.error, r.seconds, text);
      std::fflush(stdout);
    }
  }
  return bad > 0;
}
