#include "scorejet/tasks.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "scorejet/dataset.h"
#include "scorejet/diagnostics.h"
#include "src/base/error.h"
#include "src/io/atomic_file.h"
#include "src/report/plot.h"

namespace scorejet::tasks {
namespace {

using DiagnoseJson = nlohmann::ordered_json;

constexpr int64_t kMaxPlotted = 4;      // coordinates
constexpr int64_t kMaxLines = 6;        // chains in a plot
constexpr int64_t kMaxCompared = 4000;  // points of either sample in the energy distance

std::vector<DiagnoseColumn> columns_of(const sampling::ChainSummary& s, int64_t thin) {
  return {{"mean", "mean", s.mean, false},
          {"sd", "sd", s.sd, false},
          {"mcse_mean", "MCSE", s.mcse_mean, false},
          {"rhat", "R-hat", s.rhat, true},
          {"ess_bulk", "bulk ESS", s.ess_bulk, true},
          {"ess_tail", "tail ESS", s.ess_tail, true},
          {"tau_steps", "tau, steps", s.tau * thin, true}};
}

std::vector<double> to_doubles(const at::Tensor& x) {
  const at::Tensor flat = x.to(at::kDouble).contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

// Coordinates from the smallest bulk ESS up; those without one come last.
std::vector<int64_t> worst_first(const at::Tensor& ess) {
  const at::Tensor order = std::get<1>(ess.sort(/*stable=*/true, 0, /*descending=*/false));
  return {order.data_ptr<int64_t>(), order.data_ptr<int64_t>() + order.numel()};
}

void check_coordinates(const DiagnoseOptions& o, int64_t dim) {
  if (std::ssize(o.coordinates) > kMaxPlotted) {
    base::fail_argument("diagnose", "--coordinates must name at most {}; got {}", kMaxPlotted,
                        o.coordinates.size());
  }
  for (const int64_t d : o.coordinates) {
    if (d < 0 || d >= dim) {
      base::fail_argument("diagnose", "--coordinates must lie in 0..{} for {}; got {}", dim - 1,
                          o.file.string(), d);
    }
  }
}

void write_plots(const std::filesystem::path& path, const std::vector<report::Panel>& panels,
                 const base::Listener& listener) {
  const report::PlotResult result = report::write_panels(path, panels);
  if (!result.written) {
    listener.on_notice(fmt::format("no {}: {}", path.filename().string(), result.reason));
  }
}

// A panel a coordinate with a line a chain, made by line(x [C, N], chain).
template <typename Line>
std::vector<report::Panel> chain_panels(const sampling::ChainFile& chains,
                                        const std::vector<int64_t>& coordinates, const char* title,
                                        const char* xlabel, const Line& line) {
  const int64_t shown = std::min<int64_t>(chains.positions.size(0), kMaxLines);
  std::vector<report::Panel> result;
  for (const int64_t d : coordinates) {
    const at::Tensor x = chains.positions.select(2, d).to(at::kDouble);
    report::Panel panel;
    panel.options.title = fmt::format("{} of coordinate {}", title, d);
    if (shown < x.size(0)) {
      panel.options.title += fmt::format(" ({} of {} chains)", shown, x.size(0));
    }
    panel.options.key_outside = true;
    panel.options.height = coordinates.size() > 1 ? 260 : 400;
    if (d == coordinates.back()) panel.options.xlabel = xlabel;
    for (int64_t c = 0; c < shown; ++c) {
      report::Series series = line(x, c);
      series.label = fmt::format("chain {}", chains.chains[static_cast<size_t>(c)]);
      panel.series.push_back(std::move(series));
    }
    result.push_back(std::move(panel));
  }
  return result;
}

report::Series chain_trace(const std::vector<int64_t>& steps, const at::Tensor& x, int64_t chain) {
  constexpr size_t kMaxPoints = 1500;
  const size_t stride = 1 + (steps.size() - 1) / kMaxPoints;
  const std::vector<double> values = to_doubles(x[chain]);
  report::Series series;
  series.style = report::SeriesStyle::kThinLine;
  for (size_t t = 0; t < values.size(); t += stride) {
    series.x.push_back(static_cast<double>(steps[t]));
    series.y.push_back(values[t]);
  }
  return series;
}

// The histogram of a chain's ranks among the draws of all chains, 1 where it has its share.
report::Series rank_histogram(const at::Tensor& x, int64_t chain) {
  constexpr int64_t kBins = 20;
  const at::Tensor sorted = std::get<0>(x.flatten().sort()), mine = x[chain].contiguous();
  // The middle of each run of equal draws, so that ties favour no chain.
  const at::Tensor rank = (at::searchsorted(sorted, mine) +
                           at::searchsorted(sorted, mine, /*out_int32=*/false, /*right=*/true)) /
                          2.0;
  const at::Tensor bin = (rank * (static_cast<double>(kBins) / static_cast<double>(x.numel())))
                             .floor()
                             .clamp(0, kBins - 1)
                             .to(at::kLong);
  const std::vector<double> counts = to_doubles(at::bincount(bin, {}, kBins));
  report::Series series;
  for (size_t b = 0; b < counts.size(); ++b) {  // the outline of the bars
    const double height = counts[b] * kBins / static_cast<double>(mine.numel());
    for (const size_t edge : {b, b + 1}) {
      series.x.push_back(static_cast<double>(edge) / kBins);
      series.y.push_back(height);
    }
  }
  return series;
}

report::Panel autocorrelation(const sampling::ChainFile& chains, const at::Tensor& tau,
                              const std::vector<int64_t>& coordinates) {
  const at::Tensor index = at::tensor(coordinates, at::TensorOptions(at::kLong));
  const double longest = quantiles(tau.index_select(0, index)).max;
  const int64_t lags = std::min<int64_t>(
      chains.positions.size(1) - 1, 20 + (std::isfinite(longest) ? std::llround(4 * longest) : 0));
  const at::Tensor rho = sampling::autocorrelation(chains.positions.index_select(2, index), lags);
  report::Panel panel;
  panel.options.title = "Autocorrelation";
  panel.options.xlabel = "lag, steps";
  for (size_t i = 0; i < coordinates.size(); ++i) {
    report::Series series;
    series.label = fmt::format("coordinate {}", coordinates[i]);
    series.y = to_doubles(rho[static_cast<int64_t>(i)]);
    for (int64_t t = 0; t <= lags; ++t) series.x.push_back(static_cast<double>(t * chains.thin));
    panel.series.push_back(std::move(series));
  }
  return panel;
}

void draw_ranks(const sampling::ChainFile& chains, const std::filesystem::path& out,
                const std::vector<int64_t>& coordinates, const base::Listener& listener) {
  auto ranks = chain_panels(chains, coordinates, "Ranks", "rank among all draws", rank_histogram);
  for (report::Panel& panel : ranks) {
    panel.options.ylabel = "share (1: even)";
    double highest = 1;
    for (const report::Series& series : panel.series) {
      highest = std::max(highest, *std::max_element(series.y.begin(), series.y.end()));
    }
    panel.options.y_range = report::ValueRange{0, 1.05 * highest};
  }
  write_plots(out / "rank.png", ranks, listener);
}

void draw_plots(const sampling::ChainFile& chains, const at::Tensor& tau,
                const std::filesystem::path& out, const std::vector<int64_t>& coordinates,
                const base::Listener& listener) {
  write_plots(
      out / "trace.png",
      chain_panels(chains, coordinates, "Trace", "step",
                   [&](const at::Tensor& x, int64_t c) { return chain_trace(chains.steps, x, c); }),
      listener);
  if (chains.chains.size() > 1) draw_ranks(chains, out, coordinates, listener);  // one has all
  write_plots(out / "autocorrelation.png", {autocorrelation(chains, tau, coordinates)}, listener);
}

// At most kMaxCompared of the rows, evenly spaced, without those that are not finite.
at::Tensor some_rows(const at::Tensor& x) {
  const at::Tensor finite = x.index({at::isfinite(x).all(1)});
  const int64_t count = std::min(finite.size(0), kMaxCompared);
  const at::Tensor index = at::arange(count, at::kLong) * finite.size(0) / count;
  return finite.index_select(0, index.to(at::kLong));
}

// The rows of a file of points like those of the chains.
at::Tensor load_points(const DiagnoseOptions& o, const std::string& path, int64_t dim,
                       const base::Listener& listener) {
  const data::Dataset points = data::load_file(path);
  listener.on_notice(points.notice);
  if (points.dim() != dim) {
    base::fail_runtime("diagnose", "{} must have the {} columns of {}; got {}", path, dim,
                       o.file.string(), points.dim());
  }
  return points.slice(0, points.size());
}

SampleComparison compare_with(const at::Tensor& reference, const at::Tensor& positions) {
  const at::Tensor x = some_rows(positions.flatten(0, 1));
  const at::Tensor y = some_rows(reference);
  const sampling::EnergyDistance e = sampling::energy_distance(x, y);
  return {e.distance, e.coefficient, x.size(0), y.size(0)};
}

ModeVisits visit(const at::Tensor& centres, const at::Tensor& positions) {
  const sampling::Occupancy o =
      sampling::occupancy(sampling::nearest_centre(positions, centres), centres.size(0));
  return {to_doubles(o.fractions), o.entropy, o.num_transitions.sum().item<int64_t>()};
}

// What the draws cost, as far as the file knows it.
void add_costs(const at::Tensor& ess, DiagnoseReport& report) {
  const sampling::ChainFile& chains = report.chains;
  if (chains.acceptance) {
    const Quantiles q = quantiles(*chains.acceptance);
    report.acceptance = {chains.acceptance->mean().item<double>(), q.min, q.max};
  }
  if (chains.num_evaluations) {
    report.ess_per_1000_evaluations =
        quantiles(ess / (static_cast<double>(*chains.num_evaluations) / 1000));
  }
  if (chains.seconds) report.ess_per_second = quantiles(ess / *chains.seconds);
}

DiagnoseJson to_json(const DiagnoseOptions& o, const DiagnoseReport& report) {
  const sampling::ChainFile& chains = report.chains;
  DiagnoseJson json;
  json["kind"] = "diagnose";
  json["file"] = o.file.string();
  json["command"] = o.command;
  json["num_chains"] = chains.positions.size(0);
  json["num_draws"] = chains.positions.size(1);
  json["num_dropped"] = chains.num_dropped;
  json["thin"] = chains.thin;
  json["dim"] = chains.positions.size(2);
  json["diverged"] = chains.diverged;
  if (const auto& a = report.acceptance) {
    json["acceptance"] = {{"mean", a->mean}, {"min", a->min}, {"max", a->max}};
  }
  const auto ends = [](const Quantiles& q) {
    return DiagnoseJson{{"min", q.min}, {"median", q.median}};
  };
  if (report.ess_per_1000_evaluations) {
    json["num_evaluations"] = *chains.num_evaluations;
    json["ess_per_1000_evaluations"] = ends(*report.ess_per_1000_evaluations);
  }
  if (report.ess_per_second) {
    json["seconds"] = *chains.seconds;
    json["ess_per_second"] = ends(*report.ess_per_second);
  }
  if (const auto& e = report.reference) {
    json["energy_distance"] = {{"reference", o.reference.string()},
                               {"distance", e->distance},
                               {"coefficient", e->coefficient},
                               {"num_draws", e->num_draws},
                               {"num_reference", e->num_reference}};
  }
  if (const auto& m = report.modes) {
    json["modes"] = {{"fractions", m->fractions},
                     {"entropy", m->entropy},
                     {"num_transitions", m->num_transitions}};
  }
  for (const DiagnoseColumn& column : report.columns) {
    if (!column.tells_quality) continue;
    const Quantiles q = quantiles(column.values);
    json["quantiles"][column.name] = {{"min", q.min}, {"median", q.median}, {"max", q.max}};
  }
  for (const DiagnoseColumn& column : report.columns) {
    json["coordinates"][column.name] = to_doubles(column.values);
  }
  return json;
}

}  // namespace

Quantiles quantiles(const at::Tensor& values) {
  std::vector<double> known;
  for (const double value : to_doubles(values)) {
    if (!std::isnan(value)) known.push_back(value);
  }
  if (known.empty()) return {};
  std::sort(known.begin(), known.end());
  const double median = (known[(known.size() - 1) / 2] + known[known.size() / 2]) / 2;
  return {known.front(), median, known.back()};
}

DiagnoseReport diagnose(const DiagnoseOptions& o, const base::Listener& listener) {
  // 1. All that can be wrong with the input, before any work.
  DiagnoseReport report;
  report.chains = sampling::read_chains(o.file, o.burn_in);
  const at::Tensor& x = report.chains.positions;
  check_coordinates(o, x.size(2));
  at::Tensor reference, centres;
  if (!o.reference.empty()) reference = load_points(o, o.reference, x.size(2), listener);
  if (!o.modes.empty()) centres = load_points(o, o.modes, x.size(2), listener);
  report.out = o.out.empty() ? std::filesystem::absolute(o.file).parent_path() : o.out;
  io::make_writable_directory(report.out);

  // 2. The estimates.
  const sampling::ChainSummary summary = sampling::summarise(x);
  report.columns = columns_of(summary, report.chains.thin);
  report.worst = worst_first(summary.ess_bulk);
  add_costs(summary.ess_bulk, report);
  if (reference.defined()) report.reference = compare_with(reference, x);
  if (centres.defined()) report.modes = visit(centres, x);

  // 3. Files.
  io::write_file(report.out / "diagnostics.json", to_json(o, report).dump(2) + "\n");
  std::vector<int64_t> shown = o.coordinates;
  if (shown.empty()) {
    shown.assign(report.worst.begin(),
                 report.worst.begin() + std::min<int64_t>(x.size(2), kMaxPlotted));
  }
  draw_plots(report.chains, summary.tau, report.out, shown, listener);
  return report;
}

}  // namespace scorejet::tasks
