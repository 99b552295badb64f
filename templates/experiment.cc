// An experiment to copy: how far the mean of N numbers is from the mean of their law. Put the copy
// into a folder of reproduce/, and its function into reproduce.cc: `scorejet reproduce mean-error
// --out FOLDER` then runs it, one process a core, and goes on where it was interrupted.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

#include "reproduce/reproduce.h"
#include "reproduce/shared/table.h"
#include "reproduce/shared/workers.h"
#include "src/base/seed.h"
#include "src/io/atomic_file.h"

namespace scorejet::reproduce {
namespace {

using Json = nlohmann::ordered_json;

// What one task measures: its result depends on nothing but its arguments.
Json error_of_mean(int64_t count, uint64_t seed) {
  const at::Generator random = base::make_generator(seed, "mean-error");
  return at::randn({count}, random, at::TensorOptions(at::kDouble)).mean().item<double>();
}

// Writes table.{csv,json,md}, and journal.jsonl, from which an interrupted run goes on.
void mean_error(const ReproduceOptions& options) {
  std::vector<int64_t> counts{100, 1000, 10000};
  if (options.fast) counts.pop_back();
  std::vector<Task> tasks;
  for (const int64_t count : counts) {
    for (int64_t seed = 0; seed < options.seeds; ++seed) {
      tasks.push_back({fmt::format("mean-error {} seed {}", count, seed),
                       [=] { return error_of_mean(count, static_cast<uint64_t>(seed)); }});
    }
  }
  const std::vector<Json> results = run_tasks("mean error", tasks, options.out / "journal.jsonl");
  Rows table;
  auto next = results.begin();
  for (const int64_t count : counts) {
    std::vector<double> errors;
    for (int64_t seed = 0; seed < options.seeds; ++seed) {
      errors.push_back(std::abs((next++)->get<double>()));
    }
    const Spread error = spread(errors);
    table.push_back({{"count", count}, {"error", error.mean}, {"error_std", error.deviation}});
  }
  write_table(options.out / "table", table);
  const std::string text = "# Error of a mean\n\n" + markdown_table(table);
  io::write_file(options.out / "table.md", text);
  fmt::print("{}\n{}\n", text, (options.out / "table.md").string());
}

}  // namespace

Experiment mean_error_experiment() {
  return {"mean-error", "how far the mean of N numbers is from the mean of their law", mean_error};
}

}  // namespace scorejet::reproduce
