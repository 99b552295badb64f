// Trains with every default on twenty sets and prints a table.
//   [SEEDS=1] [RATIO=0.5] check_defaults [DATA_DIR] [SET ...]
// At each of five σ with so many seeds, no two runs of a set with the same; RATIO: at one σ alone.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "tests/defaults/check.h"

namespace {

double number_of(const char* variable, double otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::atof(text) : otherwise;
}

}  // namespace

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
    for (int64_t run = 0; run < 5 * static_cast<int64_t>(number_of("SEEDS", 1)); ++run) {
      const double ratio = ratios[run % 5];
      if (std::getenv("RATIO") && number_of("RATIO", 0) != ratio) continue;
      const CheckResult r = run_case({name, ratio, run}, set);
      const std::string text = verdict(r);
      bad += text != "good";
      fmt::print("| {} | {:g} | {} | {:.3g} | {:.3g} | {:.3g} | {:.3g} | {:.3g} | {:.1f} | {} |\n",
                 name, ratio, run, r.first, r.second, r.predicted, r.error, r.predicted / r.error,
                 r.seconds, text);
      std::fflush(stdout);
    }
  }
  return bad > 0;
}
