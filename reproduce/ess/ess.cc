#include "reproduce/ess/ess.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "reproduce/ess/sampling_problems.h"
#include "reproduce/shared/table.h"
#include "src/io/atomic_file.h"
#include "src/report/plot.h"

namespace scorejet::reproduce {
namespace {

using Json = nlohmann::ordered_json;

std::string method_name(const Json& row) {
  return fmt::format("{}, {}", row["kernel"].get<std::string>(), row["scores"].get<std::string>());
}

// One row a problem and method for all its seeds: means, and the standard deviation of the ESS.
// A column is null where any seed has none.
Rows over_seeds(const std::vector<Json>& results) {
  std::vector<std::string> order;
  std::map<std::string, std::vector<Json>> groups;
  for (const Json& rows : results) {
    for (const Json& row : rows) {
      const std::string key = row["problem"].get<std::string>() + " " + method_name(row);
      if (!groups.contains(key)) order.push_back(key);
      groups[key].push_back(row);
    }
  }
  Rows table;
  for (const std::string& key : order) {
    const std::vector<Json>& group = groups[key];
    Json row = {{"problem", group[0]["problem"]},
                {"scores", group[0]["scores"]},
                {"kernel", group[0]["kernel"]}};
    for (const auto& [name, first] : group[0].items()) {
      if (row.contains(name)) continue;
      std::vector<double> values;
      for (const Json& one : group) {
        if (one[name].is_number()) values.push_back(one[name].get<double>());
      }
      const bool complete = values.size() == group.size();
      row[name] = complete ? Json(spread(values).mean) : Json();
      if (name == "ess_per_1000") {
        row["ess_std"] = complete ? Json(spread(values).deviation) : Json();
      }
    }
    row["seeds"] = group.size();
    table.push_back(row);
  }
  return table;
}

// For each problem, how many times the ESS per evaluation of others the Ozaki kernels reach.
Rows judge_ess(const Rows& table) {
  Rows claims;
  for (const std::string& problem : sampling_problem_names()) {
    std::map<std::string, double> ess;
    for (const Json& row : table) {
      if (row["problem"] == problem && row["ess_per_1000"].is_number()) {
        ess[method_name(row)] = row["ess_per_1000"].get<double>();
      }
    }
    const auto ratio = [&](const char* a, const char* b) {
      return ess.contains(a) && ess.contains(b) ? Json(ess[a] / ess[b]) : Json();
    };
    claims.push_back(
        {{"problem", problem},
         {"full_over_langevin", ratio("ozaki, full", "langevin, exact")},
         {"low_rank_over_langevin", ratio("ozaki, low_rank", "langevin, exact")},
         {"full_over_learned_langevin", ratio("ozaki, full", "langevin, full")},
         {"exact_over_langevin", ratio("ozaki, exact", "langevin, exact")},
         {"line_over_langevin", ratio("line-ozaki, full", "langevin, exact")},
         {"line_4_over_langevin", ratio("line-ozaki-4, full", "langevin, exact")},
         {"metropolis_full_over_langevin", ratio("metropolis-ozaki, full", "langevin, exact")},
         {"metropolis_over_mala", ratio("metropolis-ozaki, exact", "mala, exact")},
         {"full_over_hmc", ratio("ozaki, full", "hmc, exact")}});
  }
  return claims;
}

// ESS per 1,000 evaluations: a line a method, of those that can be told apart, over the problems.
void plot_ess(const Rows& table, const std::filesystem::path& out) {
  const std::vector<std::string>& names = sampling_problem_names();
  std::vector<report::Series> series;
  for (const char* method : {"langevin, exact", "hmc, exact", "metropolis-ozaki, exact",
                             "metropolis-ozaki, full", "ozaki, low_rank"}) {
    report::Series one;
    one.label = method;
    std::replace(one.label.begin(), one.label.end(), '_', ' ');
    one.style = report::SeriesStyle::kMarkedLine;
    for (const Json& row : table) {
      if (method_name(row) != method || !row["ess_per_1000"].is_number()) continue;
      const auto place = std::find(names.begin(), names.end(), row["problem"].get<std::string>());
      one.x.push_back(static_cast<double>(place - names.begin()) + 1);
      one.y.push_back(row["ess_per_1000"].get<double>());
    }
    series.push_back(one);
  }
  report::PlotOptions options;
  options.title = "effective sample size per 1,000 score evaluations";
  options.xlabel = "problem, in the order of the table";
  options.ylabel = "ESS";
  options.log_y = true;
  options.key_outside = true;
  const auto result = report::write_plot(out / "ess.png", series, options);
  if (!result.written) fmt::print(stderr, "scorejet: note: no plot: {}\n", result.reason);
}

// Writes table.{csv,json,md}, claims.{csv,json}, a plot, and journal.jsonl, from which an
// interrupted run goes on.
void ess(const ReproduceOptions& options) {
  const std::vector<Json> results =
      run_tasks("samplers", ess_tasks(options), options.out / "journal.jsonl");
  const Rows table = over_seeds(results);
  const Rows claims = judge_ess(table);
  write_table(options.out / "table", table);
  write_table(options.out / "claims", claims);
  plot_ess(table, options.out);
  const std::string text =
      fmt::format("# Ratios of effective sample sizes per score evaluation\n\n{}\n# Samplers\n\n{}",
                  markdown_table(claims), markdown_table(table));
  io::write_file(options.out / "table.md", text);
  fmt::print("{}\n{}\n", markdown_table(claims), (options.out / "table.md").string());
}

}  // namespace

Experiment ess_experiment() {
  return {"ess", "effective sample sizes of Langevin, MALA, HMC and Ozaki, exact and learned", ess};
}

}  // namespace scorejet::reproduce
