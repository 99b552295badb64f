// scorejet diagnose CHAINS.npz: the table, diagnostics.json and the plots. Reading is
// chain_file.cc, the estimators are scorejet/sampling/diagnostics.cc.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/chains_input.h"
#include "apps/commands.h"
#include "scorejet/base/error.h"
#include "scorejet/data/dataset.h"
#include "scorejet/io/atomic_file.h"
#include "scorejet/report/plot.h"
#include "scorejet/sampling/comparison.h"
#include "scorejet/sampling/diagnostics.h"

namespace {

using namespace scorejet;
using Json = nlohmann::ordered_json;

constexpr int64_t kMaxListed = 10;      // coordinates, beyond which quantiles are printed
constexpr int64_t kMaxPlotted = 4;      // coordinates
constexpr int64_t kMaxLines = 6;        // chains in a plot
constexpr int64_t kMaxCompared = 4000;  // points of either sample in the energy distance

struct Options {
  std::string file, out, reference, modes;
  std::vector<int64_t> coordinates;
  double burn_in = 0.1;
};

struct Column {
  const char* name;   // in diagnostics.json
  const char* title;  // in the table
  at::Tensor values;  // [D]
};

std::vector<Column> columns_of(const sampling::ChainSummary& s, int64_t thin) {
  return {{"mean", "mean", s.mean},
          {"sd", "sd", s.sd},
          {"mcse_mean", "MCSE", s.mcse_mean},
          {"rhat", "R-hat", s.rhat},
          {"ess_bulk", "bulk ESS", s.ess_bulk},
          {"ess_tail", "tail ESS", s.ess_tail},
          {"tau_steps", "tau, steps", s.tau * thin}};
}
constexpr size_t kFirstQuality = 3;  // of the columns: from R-hat on they tell how good chains are

std::vector<double> to_vector(const at::Tensor& x) {
  const at::Tensor flat = x.to(at::kDouble).contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

struct Quantiles {
  double min = NAN, median = NAN, max = NAN;
};

Quantiles quantiles(const at::Tensor& values) {
  std::vector<double> known;
  for (const double value : to_vector(values)) {
    if (!std::isnan(value)) known.push_back(value);
  }
  if (known.empty()) return {};
  std::sort(known.begin(), known.end());
  const double median = (known[(known.size() - 1) / 2] + known[known.size() / 2]) / 2;
  return {known.front(), median, known.back()};
}

std::string cell(double value) { return fmt::format(" {:>10.4g}", value); }

void print_coordinates(const std::vector<Column>& columns, const std::vector<int64_t>& indices) {
  std::string head = fmt::format("{:>10}", "coordinate");
  for (const Column& column : columns) head += fmt::format(" {:>10}", column.title);
  fmt::print("{}\n", head);
  for (const int64_t d : indices) {
    std::string row = fmt::format("{:>10}", d);
    for (const Column& column : columns) row += cell(column.values[d].item<double>());
    fmt::print("{}\n", row);
  }
}

void print_quantiles(const std::vector<Column>& columns) {
  fmt::print("{:>10} {:>10} {:>10} {:>10}\n", "", "min", "median", "max");
  for (size_t i = kFirstQuality; i < columns.size(); ++i) {
    const Quantiles q = quantiles(columns[i].values);
    fmt::print("{:>10}{}{}{}\n", columns[i].title, cell(q.min), cell(q.median), cell(q.max));
  }
}

// Coordinates from the smallest bulk ESS up; those without one come last.
std::vector<int64_t> worst_first(const at::Tensor& ess) {
  const at::Tensor order = std::get<1>(ess.sort(/*stable=*/true, 0, /*descending=*/false));
  return {order.data_ptr<int64_t>(), order.data_ptr<int64_t>() + order.numel()};
}

void check_coordinates(const Options& o, int64_t dim) {
  if (std::ssize(o.coordinates) > kMaxPlotted) {
    base::fail_argument("diagnose", "--coordinates must name at most {}; got {}", kMaxPlotted,
                        o.coordinates.size());
  }
  for (const int64_t d : o.coordinates) {
    if (d < 0 || d >= dim) {
      base::fail_argument("diagnose", "--coordinates must lie in 0..{} for {}; got {}", dim - 1,
                          o.file, d);
    }
  }
}

void write(const std::filesystem::path& path, const std::vector<report::Panel>& panels) {
  const report::PlotResult result = report::write_panels(path, panels);
  if (!result.written) {
    apps::print_notice(fmt::format("no {}: {}", path.filename().string(), result.reason));
  }
}

// A panel a coordinate with a line a chain, made by line(x [C, N], chain).
template <typename Line>
std::vector<report::Panel> panels(const apps::ChainFile& chains,
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

report::Series trace(const std::vector<int64_t>& steps, const at::Tensor& x, int64_t chain) {
  constexpr size_t kMaxPoints = 1500;
  const size_t stride = 1 + (steps.size() - 1) / kMaxPoints;
  const std::vector<double> values = to_vector(x[chain]);
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
  const std::vector<double> counts = to_vector(at::bincount(bin, {}, kBins));
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

report::Panel autocorrelation(const apps::ChainFile& chains, const at::Tensor& tau,
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
    series.y = to_vector(rho[static_cast<int64_t>(i)]);
    for (int64_t t = 0; t <= lags; ++t) series.x.push_back(static_cast<double>(t * chains.thin));
    panel.series.push_back(std::move(series));
  }
  return panel;
}

void draw_ranks(const apps::ChainFile& chains, const std::filesystem::path& out,
                const std::vector<int64_t>& coordinates) {
  auto ranks = panels(chains, coordinates, "Ranks", "rank among all draws", rank_histogram);
  for (report::Panel& panel : ranks) {
    panel.options.ylabel = "share (1: even)";
    double highest = 1;
    for (const report::Series& series : panel.series) {
      highest = std::max(highest, *std::max_element(series.y.begin(), series.y.end()));
    }
    panel.options.y_range = report::ValueRange{0, 1.05 * highest};
  }
  write(out / "rank.png", ranks);
}

void draw(const apps::ChainFile& chains, const at::Tensor& tau, const std::filesystem::path& out,
          const std::vector<int64_t>& coordinates) {
  write(out / "trace.png",
        panels(chains, coordinates, "Trace", "step",
               [&](const at::Tensor& x, int64_t c) { return trace(chains.steps, x, c); }));
  if (chains.chains.size() > 1) draw_ranks(chains, out, coordinates);  // one has all ranks
  write(out / "autocorrelation.png", {autocorrelation(chains, tau, coordinates)});
}

// At most kMaxCompared of the rows, evenly spaced, without those that are not finite.
at::Tensor some_rows(const at::Tensor& x) {
  const at::Tensor finite = x.index({at::isfinite(x).all(1)});
  const int64_t count = std::min(finite.size(0), kMaxCompared);
  const at::Tensor index = at::arange(count, at::kLong) * finite.size(0) / count;
  return finite.index_select(0, index.to(at::kLong));
}

// The rows of a file of points like those of the chains.
at::Tensor load_points(const Options& o, const std::string& path, int64_t dim) {
  const data::Dataset points = data::load_file(path);
  apps::print_notice(points.notice);
  if (points.dim() != dim) {
    base::fail_runtime("diagnose", "{} must have the {} columns of {}; got {}", path, dim, o.file,
                       points.dim());
  }
  return points.slice(0, points.size());
}

Json compare(const Options& o, const at::Tensor& reference, const at::Tensor& positions) {
  const at::Tensor x = some_rows(positions.flatten(0, 1));
  const at::Tensor y = some_rows(reference);
  const sampling::EnergyDistance e = sampling::energy_distance(x, y);
  fmt::print("energy distance to {}: {:.4g}, coefficient {:.4g} ({} draws, {} points)\n",
             o.reference, e.distance, e.coefficient, x.size(0), y.size(0));
  return {{"reference", o.reference},
          {"distance", e.distance},
          {"coefficient", e.coefficient},
          {"num_draws", x.size(0)},
          {"num_reference", y.size(0)}};
}

// How the chains share their time between modes, each draw in that of the nearest centre.
Json visit(const at::Tensor& centres, const at::Tensor& positions) {
  const sampling::Occupancy o =
      sampling::occupancy(sampling::nearest_centre(positions, centres), centres.size(0));
  const auto transitions = o.num_transitions.sum().item<int64_t>();
  const std::vector<double> fractions = to_vector(o.fractions);
  fmt::print("modes: shares {:.3f}, entropy {:.3f} of {:.3f}, {} transitions\n",
             fmt::join(fractions, ", "), o.entropy, std::log(static_cast<double>(fractions.size())),
             transitions);
  return {{"fractions", fractions}, {"entropy", o.entropy}, {"num_transitions", transitions}};
}

// Prints and returns how much bulk ESS `cost` of something bought.
Json efficiency(const at::Tensor& ess, double cost, const char* per) {
  const Quantiles q = quantiles(ess / cost);
  fmt::print("bulk ESS per {}: {:.4g} (min), {:.4g} (median)\n", per, q.min, q.median);
  return {{"min", q.min}, {"median", q.median}};
}

void print_head(const Options& o, const apps::ChainFile& chains) {
  const at::Tensor& x = chains.positions;
  fmt::print("{}: {} {} of {} draws, {} apart; {} dropped at the start of each; D = {}\n", o.file,
             x.size(0), x.size(0) == 1 ? "chain" : "chains", x.size(1),
             chains.thin == 1 ? std::string("1 step") : fmt::format("{} steps", chains.thin),
             chains.num_dropped, x.size(2));
  if (!chains.diverged.empty()) {
    fmt::print("{} of {} chains diverged and are left out: {}\n", chains.diverged.size(),
               chains.diverged.size() + chains.chains.size(), fmt::join(chains.diverged, ", "));
  }
}

void print_table(const Options& o, const std::vector<Column>& columns,
                 const std::vector<int64_t>& worst, const at::Tensor& rhat) {
  const auto dim = static_cast<int64_t>(worst.size());
  if (dim <= kMaxListed) {
    std::vector<int64_t> every(worst);
    std::sort(every.begin(), every.end());
    print_coordinates(columns, every);
  } else {
    print_quantiles(columns);
    fmt::print("{}\n", o.coordinates.empty() ? "smallest bulk ESS:" : "--coordinates:");
    print_coordinates(columns, o.coordinates.empty()
                                   ? std::vector<int64_t>(worst.begin(), worst.begin() + 5)
                                   : o.coordinates);
  }
  const auto num_unknown = rhat.isnan().sum().item<int64_t>();
  if (num_unknown > 0) {
    fmt::print("{} of {} coordinates have no R-hat (constant, or not finite)\n", num_unknown, dim);
  }
}

// What the draws cost, as far as the file knows it.
void add_costs(const apps::ChainFile& chains, const at::Tensor& ess, Json& json) {
  if (chains.acceptance) {
    const Quantiles q = quantiles(*chains.acceptance);
    const auto mean = chains.acceptance->mean().item<double>();
    fmt::print("acceptance: {:.3f} ({:.3f} to {:.3f} by chain)\n", mean, q.min, q.max);
    json["acceptance"] = {{"mean", mean}, {"min", q.min}, {"max", q.max}};
  }
  if (chains.num_evaluations) {
    json["num_evaluations"] = *chains.num_evaluations;
    json["ess_per_1000_evaluations"] = efficiency(
        ess, static_cast<double>(*chains.num_evaluations) / 1000, "1,000 score evaluations");
  }
  if (chains.seconds) {
    json["seconds"] = *chains.seconds;
    json["ess_per_second"] = efficiency(ess, *chains.seconds, "second");
  }
}

void diagnose(const Options& o) {
  // 1. All that can be wrong with the input, before any work.
  const apps::ChainFile chains = apps::read_chains(o.file, o.burn_in);
  const at::Tensor& x = chains.positions;
  check_coordinates(o, x.size(2));
  at::Tensor reference, centres;
  if (!o.reference.empty()) reference = load_points(o, o.reference, x.size(2));
  if (!o.modes.empty()) centres = load_points(o, o.modes, x.size(2));
  std::filesystem::path out = o.out;
  if (o.out.empty()) out = std::filesystem::absolute(o.file).parent_path();
  io::make_writable_directory(out);

  // 2. The table.
  const sampling::ChainSummary summary = sampling::summarise(x);
  const std::vector<Column> columns = columns_of(summary, chains.thin);
  const std::vector<int64_t> worst = worst_first(summary.ess_bulk);
  print_head(o, chains);
  print_table(o, columns, worst, summary.rhat);

  // 3. The same and more for programs.
  Json json;
  json["kind"] = "diagnose";
  json["file"] = o.file;
  json["command"] = apps::command_line();
  json["num_chains"] = x.size(0);
  json["num_draws"] = x.size(1);
  json["num_dropped"] = chains.num_dropped;
  json["thin"] = chains.thin;
  json["dim"] = x.size(2);
  json["diverged"] = chains.diverged;
  add_costs(chains, summary.ess_bulk, json);
  if (reference.defined()) json["energy_distance"] = compare(o, reference, x);
  if (centres.defined()) json["modes"] = visit(centres, x);
  for (size_t i = kFirstQuality; i < columns.size(); ++i) {
    const Quantiles q = quantiles(columns[i].values);
    json["quantiles"][columns[i].name] = {{"min", q.min}, {"median", q.median}, {"max", q.max}};
  }
  for (const Column& column : columns) json["coordinates"][column.name] = to_vector(column.values);
  io::write_file(out / "diagnostics.json", json.dump(2) + "\n");

  // 4. The plots.
  std::vector<int64_t> shown = o.coordinates;
  if (shown.empty())
    shown.assign(worst.begin(), worst.begin() + std::min<int64_t>(x.size(2), kMaxPlotted));
  draw(chains, summary.tau, out, shown);
  fmt::print("{}\n", out.string());
}

}  // namespace

void scorejet::apps::add_diagnose(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "diagnose",
      "Whether chains have converged and what their draws are worth: R-hat, effective sample "
      "sizes, "
      "autocorrelation time; diagnostics.json, trace.png, rank.png, autocorrelation.png.\n\n"
      "Example:\n"
      "  scorejet diagnose runs/toy/sample/chains.npz --reference points.npy");
  auto o = std::make_shared<Options>();
  command
      ->add_option("chains", o->file,
                   "NPZ with positions [chains, kept, D] (steps, diverged_at, acceptance, "
                   "evaluations, seconds where known), or one array, or NPY")
      ->required();
  command
      ->add_option("--burn-in", o->burn_in,
                   "share of the positions to drop first, the start at least")
      ->capture_default_str();
  command
      ->add_option("--coordinates", o->coordinates,
                   "up to 4 to plot, with commas; default: those of the smallest bulk ESS")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--modes", o->modes,
                      "centres of modes (a row each): shares of the draws, transitions");
  command->add_option("--reference", o->reference,
                      "sample to measure the energy distance to: NPY, NPZ, CSV, IDX, PNGs");
  command->add_option("--out", o->out, "folder to write; default: that of the file");
  command->callback([o] { diagnose(*o); });
}
