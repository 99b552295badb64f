// scorejet causal-order DATA.csv: reading, printing and the JSON file. The method is
// src/causal/order.cc.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/commands.h"
#include "scorejet/causal_order.h"
#include "src/base/error.h"
#include "src/base/progress.h"
#include "src/io/atomic_file.h"
#include "src/io/csv.h"
#include "src/io/tensor_bridge.h"

namespace {

using namespace scorejet;
using Json = nlohmann::ordered_json;

struct Options {
  std::string data, out;
  causal::OrderOptions order;
};

// The header's names; x1, x2, ... where there is no header.
std::vector<std::string> column_names(const io::CsvTable& table) {
  std::vector<std::string> names = table.names;
  for (int64_t j = static_cast<int64_t>(names.size()); j < table.values.shape[1]; ++j) {
    names.push_back(fmt::format("x{}", j + 1));
  }
  std::set<std::string> different;
  for (const std::string& name : names) {
    if (!different.insert(name).second) {
      base::fail_argument("causal-order", "columns must have names of their own; two are \"{}\"",
                          name);
    }
  }
  return names;
}

std::vector<std::string> ordered_names(const causal::CausalOrder& result,
                                       const std::vector<std::string>& names) {
  std::vector<std::string> ordered;
  for (const int64_t j : result.order) ordered.push_back(names[static_cast<size_t>(j)]);
  return ordered;
}

Json to_json(const Options& o, const causal::CausalOrder& result,
             const std::vector<std::string>& names) {
  Json json;
  json["kind"] = "causal-order";
  json["file"] = o.data;
  json["command"] = apps::command_line();
  json["seed"] = o.order.seed;
  json["order"] = ordered_names(result, names);
  for (const causal::Stage& stage : result.stages) {
    Json one;
    one["leaf"] = names[static_cast<size_t>(stage.leaf)];
    one["gap"] = stage.gap;
    for (size_t i = 0; i < stage.present.size(); ++i) {
      one["variances"][names[static_cast<size_t>(stage.present[i])]] = stage.variances[i];
    }
    json["stages"].push_back(one);
  }
  return json;
}

void find_order(Options& o) {
  const base::Listener listener = apps::interruptible_listener();
  const io::CsvTable table = io::read_csv_table(o.data);
  listener.on_notice(table.notice);
  const std::vector<std::string> names = column_names(table);
  base::Progress bar("causal order", 1);
  o.order.on_step = [&](int64_t done, int64_t total) {
    bar.set_total(total);
    bar.update(done, "");
    if (listener.stopped()) throw apps::Interrupted("interrupted; nothing was written");
  };
  const causal::CausalOrder result =
      causal::causal_order(io::to_tensor(table.values), names, o.order);
  bar.finish("");
  fmt::print("{}\n", fmt::join(ordered_names(result, names), ","));
  if (!o.out.empty()) io::write_file(o.out, to_json(o, result, names).dump(2) + "\n");
}

}  // namespace

void scorejet::apps::add_causal_order(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "causal-order",
      "An order of a table's columns from causes to effects, for non-linear mechanisms with "
      "additive\n"
      "Gaussian noise and no hidden common cause: who can depend on whom, not who does.\n\n"
      "Example:\n  scorejet causal-order table.csv --out order.json");
  auto o = std::make_shared<Options>();
  command->add_option("data", o->data, "CSV of numbers, a column a variable; a header names them")
      ->required();
  command->add_option("--seed", o->order.seed, "of the training")->capture_default_str();
  command->add_option("--steps", o->order.steps, "of training with all columns, >= 1")
      ->capture_default_str();
  command->add_option("--out", o->out,
                      "JSON to write: for each stage the variances of the curvature and the gap "
                      "between the least two");
  command->callback([o] { find_order(*o); });
}
