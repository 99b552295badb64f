// scorejet denoise RUN INPUT, or --denoiser FILE.pt --predicts KIND INPUT: options, and what
// tasks/denoise.cc found.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <memory>

#include "apps/commands.h"
#include "scorejet/tasks.h"
#include "src/base/error.h"

namespace {

using namespace scorejet;

struct CommandLine {
  std::vector<std::string> paths;  // RUN and INPUT, or INPUT alone where a --denoiser is given
  tasks::DenoiseOptions task;
};

void take_paths(CommandLine& o) {
  const bool file = !o.task.denoiser.file.empty();
  const size_t expected = file ? 1 : 2;
  if (o.paths.size() != expected) {
    base::fail_argument("denoise", "{}; got {}",
                        file ? "with --denoiser only INPUT must be given, without a run folder"
                             : "RUN and INPUT, or --denoiser FILE.pt and INPUT, must be given",
                        fmt::join(o.paths, " "));
  }
  o.task.input = o.paths.back();
  if (!file) o.task.denoiser.run = o.paths.front();
}

void print_residual(const char* indent, double residual) {
  fmt::print("{}components reached a relative residual of {:.1e} only\n", indent, residual);
}

void print_picture(const tasks::PictureReport& picture) {
  std::string said = fmt::format("{}: {} x {}, {} bit, sigma {:.4g}{}", picture.file, picture.width,
                                 picture.height, picture.bits, picture.sigma,
                                 picture.sigma_estimated ? " (estimated)" : "");
  if (picture.psnr_noisy) {
    said += fmt::format(", PSNR {:.2f} -> {:.2f} dB", *picture.psnr_noisy, *picture.psnr_denoised);
  }
  const tasks::ErrorBarFigures& bars = picture.error_bars;
  if (bars.temperature) said += fmt::format(", temperature {:.4g}", *bars.temperature);
  if (bars.coverage) said += fmt::format(", coverage {:.3f}", *bars.coverage);
  if (bars.coverage_raw) said += fmt::format(" (raw {:.3f})", *bars.coverage_raw);
  fmt::print("{}\n", said);
  const std::string name = std::filesystem::path(picture.file).stem().string();
  if (picture.clipped_mean > 0) {
    fmt::print(
        "  {:.2g} % of the mean's samples lay outside [0, 1] and were clipped in {}_mean.png\n",
        100 * picture.clipped_mean, name);
  }
  if (picture.clipped_sd.value_or(0) > 0) {
    fmt::print("  {:.2g} % of the standard deviations lay above sigma, white in {}_sd.png\n",
               100 * *picture.clipped_sd, name);
  }
  if (!picture.eigen_converged) print_residual("  ", picture.eigen_residual);
}

void print_denoised(const tasks::DenoiseReport& report) {
  for (const tasks::PictureReport& picture : report.pictures) print_picture(picture);
  if (report.stopped) return;
  for (const auto& [name, value] : report.figures) fmt::print("{:<32} {:.6g}\n", name, value);
  if (!report.posterior.eigen_converged) print_residual("", report.posterior.eigen_residual);
}

// All but what is denoised, and with what.
void add_result_options(CLI::App* command, tasks::DenoiseOptions& o) {
  command->add_flag("--noisy", o.noisy, "the input is noisy already");
  command
      ->add_option("--covariance", o.denoiser.covariance,
                   "auto: the run's own s2, or subspace where there is none; subspace: leading "
                   "components alone, by Jacobian-vector products of s1; exact: the whole Jacobian "
                   "of s1, with standard deviations and samples (D backward passes, D^2 numbers a "
                   "sample)")
      ->capture_default_str();
  command->add_option("--pcs", o.components, "principal components a sample, 0 to D")
      ->check(CLI::NonNegativeNumber)
      ->default_str("20 or D");
  command->add_option("--samples", o.samples, "posterior samples a sample")->capture_default_str();
  command->add_option("--level", o.error_bars.level,
                      "write the intervals (lower, upper) that hold a clean coordinate with this "
                      "probability, above 0 and below 1");
  command->add_flag("--calibrated", o.error_bars.calibrated,
                    "multiply covariances by the temperature that `scorejet calibrate` fitted to "
                    "RUN, and take its widths for intervals");
  command->add_flag("--baseline", o.baseline,
                    "also measure the best fixed components, of a PCA of residuals on 5,000 "
                    "training samples, where there is a training set");
  command->add_option("--limit", o.limit, "first samples only; 0: all")->capture_default_str();
  command->add_option("--seed", o.seed, "random seed")->capture_default_str();
  command->add_option("--device", o.denoiser.device, "auto, cpu, cuda or cuda:N")
      ->capture_default_str();
  command->add_option("--out", o.out, "folder to write")->required();
}

}  // namespace

void scorejet::apps::add_denoise(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "denoise",
      "Denoise with uncertainty: posterior.npz (mean, standard_deviation, components, eigenvalues, "
      "samples; lower and upper with --level), pictures, metrics.json. PNGs may have any size; "
      "each gets NAME_mean.png, "
      "NAME_sd.png, NAME_components.png and NAME.npz.\n\n"
      "With a run: RUN INPUT. With anyone's network: --denoiser FILE.pt --predicts KIND INPUT, a "
      "TorchScript file that takes (x) or (x, sigma), x [B, C, H, W] for images and [B, D] for "
      "vectors, sigma [B], in the units of the data (images: 0 to 1).\n\nExamples:\n"
      "  scorejet denoise runs/mnist test --sigma 0.5 --pcs 20 --limit 1000 --out "
      "runs/mnist/denoise\n"
      "  scorejet denoise --denoiser denoiser.pt --predicts clean mnist --sigma 0.5 --pcs 3 "
      "--limit 100 --out denoised\n"
      "  scorejet calibrate runs/mnist --sigma 0.5 && scorejet denoise runs/mnist test --sigma 0.5 "
      "--calibrated --level 0.9 --out runs/mnist/calibrated");
  auto o = std::make_shared<CommandLine>();
  command
      ->add_option(
          "paths", o->paths,
          "RUN, a run folder, unless --denoiser is given; and INPUT: NPY, NPZ, CSV, IDX, "
          "PNG, folder of PNGs, a data set's name (its test set), or `test`: the run's own")
      ->type_name("[RUN] INPUT")
      ->required()
      ->expected(1, 2);
  CLI::Option* file = command->add_option("--denoiser", o->task.denoiser.file,
                                          "a TorchScript file, in place of RUN");
  CLI::Option* predicts =
      command->add_option("--predicts", o->task.denoiser.predicts,
                          "what its network gives: score, clean (a denoiser) or noise (of unit "
                          "size)");
  file->needs(predicts);
  predicts->needs(file);
  command
      ->add_option_function<std::string>(
          "--sigma",
          [o](const std::string& text) {
            o->task.estimate = text == "estimate";
            if (!o->task.estimate && !CLI::detail::lexical_cast(text, o->task.sigma)) {
              throw CLI::ValidationError("--sigma", "must be a number or `estimate`; got " + text);
            }
          },
          "noise level of the input (added unless --noisy), or `estimate`: found in each picture, "
          "which is noisy already")
      ->required();
  add_result_options(command, o->task);
  command->callback([o] {
    take_paths(*o);
    o->task.command = command_line();
    const tasks::DenoiseReport report = tasks::denoise(o->task, interruptible_listener());
    print_denoised(report);
    if (!report.stopped) return;
    throw Interrupted(
        report.pictures.empty()
            ? "interrupted; nothing was written"
            : fmt::format("interrupted; {} pictures were written, but no metrics.json",
                          report.pictures.size()));
  });
}
