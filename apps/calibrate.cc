// scorejet calibrate RUN: options, and the table of what tasks/calibrate.cc measured.
#include <fmt/format.h>

#include <memory>

#include "apps/commands.h"
#include "scorejet/tasks.h"

namespace {

using namespace scorejet;

void print_table(const std::vector<posterior::CalibrationRecord>& records) {
  fmt::print("{:>7} {:>11} {:>8} {:>8} {:>9} {:>9} {:>12} {:>9} {:>10}\n", "sigma", "", "cover 90",
             "comp. 90", "cov.error", "sharpness", "Mahal^2/D", "spread", "-log p / D");
  for (const auto& record : records) {
    for (const bool raw : {true, false}) {
      const posterior::CalibrationSummary& s = raw ? record.raw : record.calibrated;
      fmt::print(
          "{:>7.3g} {:>11} {:>8.3f} {:>8} {:>9.3f} {:>9.4f} {:>12.3f} {:>9.3f} {:>10.4f}\n",
          record.fitted.sigma, raw ? "raw" : "calibrated", s.coverage[2],
          s.component_coverage.empty() ? "-" : fmt::format("{:.3f}", s.component_coverage[2]),
          s.coverage_error, s.sharpness, s.mahalanobis_mean, s.mahalanobis_sd, s.log_loss);
    }
  }
}

}  // namespace

void scorejet::apps::add_calibrate(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "calibrate",
      "Measure on held-out data whether a run's error bars can be trusted: coverage of intervals, "
      "PIT histograms, Mahalanobis distances, residual energy, log-likelihood; and fit the "
      "correction (RUN/calibration.json) that denoise --calibrated applies.\n\nExample:\n"
      "  scorejet calibrate runs/mnist --sigma 0.5");
  auto o = std::make_shared<tasks::CalibrateOptions>();
  command->add_option("run", o->run, "run folder")->required();
  command
      ->add_option("--sigma", o->sigmas,
                   "noise levels; default: the run's own, or five over its range")
      ->delimiter(',');
  command->add_option("--pcs", o->components, "leading components measured, at most D; 0: none")
      ->capture_default_str();
  command->add_option("--limit", o->limit, "samples to fit on and to measure on; 0: all")
      ->capture_default_str();
  command->add_option("--seed", o->seed, "of the noise")->capture_default_str();
  command->add_option("--device", o->device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  command->add_option("--out", o->out, "folder of plots and metrics; default: RUN/calibration");
  command->callback([o] {
    o->command = command_line();
    const tasks::CalibrateReport report = tasks::calibrate(*o, interruptible_listener());
    if (report.stopped) throw Interrupted("interrupted; nothing was written");
    print_table(report.records);
    fmt::print("written: {}, for denoise --calibrated\n", report.file.string());
  });
}
