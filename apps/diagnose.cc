// scorejet diagnose CHAINS.npz: options, and the table of what tasks/diagnose.cc finds.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "apps/commands.h"
#include "scorejet/tasks.h"

namespace {

using namespace scorejet;

constexpr int64_t kMaxListed = 10;  // coordinates, beyond which quantiles are printed

std::string cell(double value) { return fmt::format(" {:>10.4g}", value); }

void print_coordinates(const std::vector<tasks::DiagnoseColumn>& columns,
                       const std::vector<int64_t>& indices) {
  std::string head = fmt::format("{:>10}", "coordinate");
  for (const tasks::DiagnoseColumn& column : columns) head += fmt::format(" {:>10}", column.title);
  fmt::print("{}\n", head);
  for (const int64_t d : indices) {
    std::string row = fmt::format("{:>10}", d);
    for (const auto& column : columns) row += cell(column.values[d].item<double>());
    fmt::print("{}\n", row);
  }
}

void print_quantiles(const std::vector<tasks::DiagnoseColumn>& columns) {
  fmt::print("{:>10} {:>10} {:>10} {:>10}\n", "", "min", "median", "max");
  for (const tasks::DiagnoseColumn& column : columns) {
    if (!column.tells_quality) continue;
    const tasks::Quantiles q = tasks::quantiles(column.values);
    fmt::print("{:>10}{}{}{}\n", column.title, cell(q.min), cell(q.median), cell(q.max));
  }
}

void print_head(const std::string& file, const sampling::ChainFile& chains) {
  const at::Tensor& x = chains.positions;
  fmt::print("{}: {} {} of {} draws, {} apart; {} dropped at the start of each; D = {}\n", file,
             x.size(0), x.size(0) == 1 ? "chain" : "chains", x.size(1),
             chains.thin == 1 ? std::string("1 step") : fmt::format("{} steps", chains.thin),
             chains.num_dropped, x.size(2));
  if (!chains.diverged.empty()) {
    fmt::print("{} of {} chains diverged and are left out: {}\n", chains.diverged.size(),
               chains.diverged.size() + chains.chains.size(), fmt::join(chains.diverged, ", "));
  }
}

void print_table(const tasks::DiagnoseOptions& o, const tasks::DiagnoseReport& report) {
  const std::vector<int64_t>& worst = report.worst;
  const auto dim = static_cast<int64_t>(worst.size());
  if (dim <= kMaxListed) {
    std::vector<int64_t> every(worst);
    std::sort(every.begin(), every.end());
    print_coordinates(report.columns, every);
  } else {
    print_quantiles(report.columns);
    fmt::print("{}\n", o.coordinates.empty() ? "smallest bulk ESS:" : "--coordinates:");
    print_coordinates(report.columns, o.coordinates.empty()
                                          ? std::vector<int64_t>(worst.begin(), worst.begin() + 5)
                                          : o.coordinates);
  }
  for (const tasks::DiagnoseColumn& column : report.columns) {
    if (column.name != std::string("rhat")) continue;
    const auto num_unknown = column.values.isnan().sum().item<int64_t>();
    if (num_unknown == 0) continue;
    fmt::print("{} of {} coordinates have no R-hat (constant, or not finite)\n", num_unknown, dim);
  }
}

void print_diagnosis(const tasks::DiagnoseOptions& o, const tasks::DiagnoseReport& report) {
  print_head(o.file.string(), report.chains);
  print_table(o, report);
  if (const auto& a = report.acceptance) {
    fmt::print("acceptance: {:.3f} ({:.3f} to {:.3f} by chain)\n", a->mean, a->min, a->max);
  }
  const auto print_ess = [](const std::optional<tasks::Quantiles>& q, const char* per) {
    if (q) fmt::print("bulk ESS per {}: {:.4g} (min), {:.4g} (median)\n", per, q->min, q->median);
  };
  print_ess(report.ess_per_1000_evaluations, "1,000 score evaluations");
  print_ess(report.ess_per_second, "second");
  if (const auto& e = report.reference) {
    fmt::print("energy distance to {}: {:.4g}, coefficient {:.4g} ({} draws, {} points)\n",
               o.reference.string(), e->distance, e->coefficient, e->num_draws, e->num_reference);
  }
  if (const auto& m = report.modes) {
    fmt::print("modes: shares {:.3f}, entropy {:.3f} of {:.3f}, {} transitions\n",
               fmt::join(m->fractions, ", "), m->entropy,
               std::log(static_cast<double>(m->fractions.size())), m->num_transitions);
  }
  fmt::print("{}\n", report.out.string());
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
  auto o = std::make_shared<tasks::DiagnoseOptions>();
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
  command->callback([o] {
    o->command = apps::command_line();
    print_diagnosis(*o, tasks::diagnose(*o, terminal_listener()));
  });
}
