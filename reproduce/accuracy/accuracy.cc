#include "reproduce/accuracy/accuracy.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>

#include "reproduce/shared/table.h"
#include "src/base/error.h"
#include "src/io/atomic_file.h"
#include "src/report/plot.h"

namespace scorejet::reproduce {
namespace {

using Json = nlohmann::ordered_json;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Runs the tasks; one row for all seeds of a setting.
Rows measure_tasks(const std::string& label, const std::vector<AccuracyTask>& tasks,
                   const std::filesystem::path& journal) {
  std::vector<Task> work;
  for (const AccuracyTask& task : tasks) work.push_back(task.task);
  const std::vector<Json> results = run_tasks(label, work, journal);
  std::vector<std::string> order;  // of first appearance
  std::map<std::string, std::vector<size_t>> groups;
  for (size_t i = 0; i < tasks.size(); ++i) {
    const std::string key = tasks[i].row.dump();
    if (!groups.contains(key)) order.push_back(key);
    groups[key].push_back(i);
  }
  Rows rows;
  for (const std::string& key : order) {
    const std::vector<size_t>& group = groups[key];
    const auto column = [&](const char* name) {
      std::vector<double> values;
      for (const size_t i : group) values.push_back(results[i].at(name).get<double>());
      return spread(values);
    };
    Json row = tasks[group[0]].row;
    const Spread error = column("error");
    row["error_mean"] = error.mean;
    row["error_std"] = error.deviation;
    row["relative_error"] = error.mean / column("zero_error").mean;
    row["s1_error"] = column("s1_error").mean;
    if (results[group[0]].contains("not_positive")) {
      row["not_positive"] = column("not_positive").mean;
    }
    if (results[group[0]].contains("autodiff_error")) {
      const Spread autodiff = column("autodiff_error");
      row["autodiff_error_mean"] = autodiff.mean;
      row["autodiff_error_std"] = autodiff.deviation;
      row["autodiff_relative_error"] = autodiff.mean / column("zero_error").mean;
      row["rare_share"] = column("rare_share").mean;
    }
    row["train_seconds"] = column("train_seconds").mean;
    row["seeds"] = group.size();
    rows.push_back(row);
  }
  return rows;
}

bool starts_with(const Json& row, const char* prefix) {
  return row.at("method").get<std::string>().starts_with(prefix);
}

// For each problem and sigma the ratios that the claims are about.
Rows judge_accuracy(const Rows& rows) {
  struct Best {
    Json row;
    double autodiff = kInfinity, autodiff_plain = kInfinity, product = kInfinity,
           centred = kInfinity, sketch = kInfinity, not_positive = 0;
  };
  std::vector<Best> settings;
  for (const Json& row : rows) {
    const Json key = {{"problem", row["problem"]}, {"sigma", row["sigma"]}};
    if (settings.empty() || settings.back().row != key) settings.push_back({key});
    Best& best = settings.back();
    const double error = row["error_mean"].get<double>();
    const auto lower = [&](double& value) { value = std::min(value, error); };
    if (starts_with(row, "autodiff")) lower(best.autodiff);
    if (row["method"] == "autodiff_dsm") lower(best.autodiff_plain);
    if (row["method"] == "product") lower(best.product);
    if (row["method"] == "sketch") lower(best.sketch);
    if (row["method"] == "centred") {
      lower(best.centred);
      best.not_positive = std::max(best.not_positive, row["not_positive"].get<double>());
    }
  }
  Rows claims;
  for (const Best& best : settings) {
    const double direct = std::min(best.product, best.centred);
    Json row = best.row;
    row["direct_over_autodiff"] = direct / best.autodiff;
    row["direct_over_autodiff_dsm"] = direct / best.autodiff_plain;
    row["centred_over_product"] = best.centred / best.product;
    row["sketch_over_autodiff"] = best.sketch / best.autodiff;
    row["centred_not_positive"] = best.not_positive;
    claims.push_back(row);
  }
  return claims;
}

// Error against sigma, one line a method (its best rank), one picture a problem.
void plot_problems(const Rows& rows, const std::filesystem::path& out) {
  std::vector<std::string> problems;
  for (const Json& row : rows) {
    const auto name = row["problem"].get<std::string>();
    if (problems.empty() || problems.back() != name) problems.push_back(name);
  }
  for (const std::string& problem : problems) {
    std::map<std::string, std::map<double, double>> lines;
    for (const Json& row : rows) {
      if (row["problem"] != problem) continue;
      auto& line = lines[row["method"].get<std::string>()];
      const auto sigma = row["sigma"].get<double>();
      const auto error = row["relative_error"].get<double>();
      line[sigma] = line.contains(sigma) ? std::min(line[sigma], error) : error;
    }
    std::vector<report::Series> series;
    for (const auto& [method, line] : lines) {
      report::Series one;
      one.label = method;
      std::replace(one.label.begin(), one.label.end(), '_', ' ');
      one.style = report::SeriesStyle::kMarkedLine;
      for (const auto& [sigma, error] : line) {
        one.x.push_back(sigma);
        one.y.push_back(error);
      }
      series.push_back(one);
    }
    report::PlotOptions options;
    options.title = problem + ": error of s2, relative to predicting zero";
    options.xlabel = "sigma";
    options.ylabel = "relative error";
    options.log_x = options.log_y = true;
    const auto result = report::write_plot(out / (problem + ".png"), series, options);
    if (!result.written) fmt::print(stderr, "scorejet: note: no plot: {}\n", result.reason);
  }
}

// Writes table.{csv,json,md} (order two), early.{csv,json}, third_order.{csv,json}, claims.{csv,
// json}, a plot a problem, and journal.jsonl, from which an interrupted run goes on.
void accuracy(const ReproduceOptions& options) {
  const auto journal = options.out / "journal.jsonl";
  const Rows rows = measure_tasks("order 2", second_order_tasks(options), journal);
  const Rows early = measure_tasks("s1 stopped early", early_tasks(options), journal);
  const Rows third = measure_tasks("order 3", third_order_tasks(options), journal);
  const Rows claims = judge_accuracy(rows);
  write_table(options.out / "table", rows);
  write_table(options.out / "early", early);
  write_table(options.out / "third_order", third);
  write_table(options.out / "claims", claims);
  plot_problems(rows, options.out);
  const std::string text = fmt::format(
      "# Ratios of the best errors\n\n{}\n# Order three\n\n{}\n# Order two with s1 stopped "
      "early\n\n"
      "{}\n# Order two\n\n{}",
      markdown_table(claims), markdown_table(third), markdown_table(early), markdown_table(rows));
  io::write_file(options.out / "table.md", text);
  fmt::print("{}\n{}\n", markdown_table(claims), (options.out / "table.md").string());
}

}  // namespace

Experiment accuracy_experiment() {
  return {"accuracy", "errors of learned scores of order two and three against exact ones",
          accuracy};
}

}  // namespace scorejet::reproduce
