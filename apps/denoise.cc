// scorejet denoise RUN INPUT, or --denoiser FILE.pt --predicts KIND INPUT
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "apps/denoise_errors.h"
#include "apps/denoise_field.h"
#include "apps/denoise_pictures.h"
#include "apps/error_bars.h"
#include "scorejet/base/error.h"
#include "scorejet/base/noise.h"
#include "scorejet/base/seed.h"
#include "scorejet/io/atomic_file.h"
#include "scorejet/io/npz.h"
#include "scorejet/io/tensor_bridge.h"
#include "scorejet/report/picture_grid.h"

namespace {

using namespace scorejet;
using apps::Denoiser;
using apps::DenoiserRequest;
using apps::ErrorBars;

constexpr int64_t kComponents = 20;

struct Options {
  std::vector<std::string> paths;  // RUN and INPUT, or INPUT alone
  DenoiserRequest denoiser;
  apps::ErrorBarOptions error_bars;
  std::string input, out;
  double sigma = 0;
  bool noisy = false, estimate = false;  // estimate: sigma from each picture
  bool baseline = false;
  int64_t components = -1;  // < 0: kComponents, or all there are
  int64_t samples = 0, limit = 0;
  uint64_t seed = 0;
};

bool is_named(const std::string& input) {
  const std::vector<std::string>& names = data::dataset_names();
  return std::find(names.begin(), names.end(), input) != names.end();
}

void draw(const Options& o, const std::vector<int64_t>& shape, const apps::DenoisedInput& input,
          const posterior::Posterior& result) {
  const at::Tensor &clean = input.clean, &noisy = input.noisy;
  const int64_t rows = std::min<int64_t>(noisy.size(0), 8);
  const auto tiles = [&](const at::Tensor& x) {
    return io::from_tensor(
        x.narrow(0, 0, rows).reshape({rows, shape[0], shape[1], shape[2]}).to(at::kFloat));
  };
  using report::Colormap;
  const report::ValueRange unit{0, 1};
  std::vector<report::GridColumn> grid;
  if (clean.defined()) grid.push_back({"clean", tiles(clean), Colormap::kGrey, unit});
  grid.push_back({"noisy", tiles(noisy.clamp(0, 1)), Colormap::kGrey, unit});
  grid.push_back({"mean", tiles(result.mean.clamp(0, 1)), Colormap::kGrey, unit});
  if (clean.defined()) {
    grid.push_back({"|error|", tiles((clean - result.mean).abs()), Colormap::kSequential, {}});
  }
  if (result.variance.defined()) {
    grid.push_back(
        {"standard deviation", tiles(result.variance.sqrt()), Colormap::kSequential, {}});
  }
  for (int64_t k = 0; k < std::min<int64_t>(3, o.components); ++k) {
    grid.push_back({fmt::format("component {}", k + 1),
                    tiles(result.components.select(1, k)),
                    Colormap::kDiverging,
                    {}});
  }
  for (int64_t s = 0; s < std::min<int64_t>(2, o.samples); ++s) {
    grid.push_back({fmt::format("sample {}", s + 1), tiles(result.samples.select(1, s).clamp(0, 1)),
                    Colormap::kGrey, unit});
  }
  const std::string title = fmt::format("Denoising at sigma {:g}, with {}error bars", o.sigma,
                                        o.error_bars.calibrated ? "calibrated " : "");
  apps::print_notice(
      report::write_picture_grid(std::filesystem::path(o.out) / "denoised.png", grid, {}, title));
}

data::Dataset read_input(const Options& o) {
  if (!o.denoiser.run.empty()) training::RunFolder::open(o.denoiser.run);
  if (o.input == "test") {
    if (o.denoiser.run.empty()) {
      base::fail_argument(
          "denoise", "`test` is a run's own test set; with --denoiser give one of {} or a file",
          fmt::join(data::dataset_names(), ", "));
    }
    const training::DataConfig data =
        training::read_config(std::filesystem::path(o.denoiser.run) / "config.toml").data;
    return data::load_splits(data.name, data.dir, data.validation).test;
  }
  if (is_named(o.input) && !std::filesystem::exists(o.input)) {
    const training::DataConfig data;
    return data::load_splits(o.input, data.dir, data.validation).test;
  }
  data::Dataset input = data::load_file(o.input);
  apps::print_notice(input.notice);
  return input;
}

// RUN and INPUT, or INPUT alone where a --denoiser is given.
void take_paths(Options& o) {
  const bool file = !o.denoiser.file.empty();
  const size_t expected = file ? 1 : 2;
  if (o.paths.size() != expected) {
    base::fail_argument("denoise", "{}; got {}",
                        file ? "with --denoiser only INPUT must be given, without a run folder"
                             : "RUN and INPUT, or --denoiser FILE.pt and INPUT, must be given",
                        fmt::join(o.paths, " "));
  }
  o.input = o.paths.back();
  if (!file) o.denoiser.run = o.paths.front();
  o.denoiser.sigma = o.sigma;
}

// The input's PNGs, where a run denoises them.
struct Pictures {
  std::shared_ptr<const training::Run> run;
  std::vector<apps::PictureFile> files;
  apps::PictureOptions options;
  bool one_by_one = false;  // not all of the run's own size, or each with a sigma of its own
};

Pictures find_pictures(const Options& o) {
  if (!o.estimate && !(o.sigma > 0)) {
    base::fail_argument("denoise", "--sigma must be positive; got {}", o.sigma);
  }
  const bool any = o.denoiser.file.empty() && apps::holds_pictures(o.input);
  if (o.estimate && !any) {
    base::fail_argument("denoise",
                        "--sigma estimate needs a run and a PNG or a folder of PNGs; got {}",
                        fmt::join(o.paths, " "));
  }
  if (!any) return {};
  Pictures pictures;
  pictures.run =
      std::make_shared<training::Run>(training::load_run(o.denoiser.run, o.denoiser.device));
  const bool second = pictures.run->model->max_order() >= 2;
  pictures.options = {.input = o.input,
                      .out = o.out,
                      .sigma = o.sigma,
                      .estimate = o.estimate,
                      .noisy = o.noisy,
                      .components = !second            ? 0
                                    : o.components < 0 ? kComponents
                                                       : o.components,
                      .samples = second ? o.samples : 0,
                      .limit = o.limit,
                      .seed = o.seed,
                      .error_bars = o.error_bars};
  pictures.files = apps::inspect_pictures(*pictures.run, pictures.options);
  pictures.one_by_one = o.estimate || !apps::all_of_run(*pictures.run, pictures.files);
  if (pictures.one_by_one && !second && (o.samples > 0 || o.error_bars.level)) {
    base::fail_argument("denoise",
                        "--samples and --level need a run with an s2 for pictures of any size; got "
                        "{}, which has none",
                        o.denoiser.run);
  }
  return pictures;
}

// The arrays of posterior.npz.
io::NamedArrays to_arrays(const apps::DenoisedInput& input, const ErrorBars& bars,
                          const posterior::Posterior& result) {
  const posterior::Interval interval = apps::intervals(bars, result);
  const at::Tensor sd = result.variance.defined() ? result.variance.sqrt() : at::Tensor();
  io::NamedArrays arrays;
  for (const auto& [name, tensor] : {std::pair{"clean", input.clean},
                                     {"noisy", input.noisy},
                                     {"mean", result.mean},
                                     {"standard_deviation", sd},
                                     {"lower", interval.lower},
                                     {"upper", interval.upper},
                                     {"eigenvalues", result.eigenvalues},
                                     {"components", result.components},
                                     {"samples", result.samples}}) {
    if (tensor.defined()) arrays[name] = io::from_tensor(tensor);
  }
  return arrays;
}

void denoise(Options o) {
  take_paths(o);
  apps::open_error_bars(o.error_bars, o.denoiser);
  Pictures pictures = find_pictures(o);
  if (o.baseline && (o.noisy || o.components == 0 || pictures.one_by_one)) {
    base::fail_argument("denoise",
                        "--baseline needs clean samples of the run's own size and --pcs above 0");
  }
  if (pictures.one_by_one) {
    io::make_writable_directory(o.out);
    return apps::denoise_pictures(*pictures.run, pictures.files, pictures.options);
  }
  const ErrorBars bars = apps::error_bars_at(o.error_bars, o.sigma);
  const data::Dataset samples =
      pictures.files.empty() ? read_input(o) : apps::load_pictures(pictures.files);
  const Denoiser denoiser = apps::open_denoiser(o.denoiser, samples);
  if (!denoiser.has_variance() && (o.samples > 0 || bars.level)) {
    base::fail_argument("denoise", "{} needs a covariance: --covariance exact, or an s2",
                        bars.level ? "--level" : "--samples");
  }
  if (o.components < 0) o.components = std::min(kComponents, samples.dim());
  const int64_t count = o.limit > 0 ? std::min(o.limit, samples.size()) : samples.size();
  apps::DenoisedInput input{{}, samples.slice(0, count), o.sigma};
  if (!o.noisy) {
    input.clean = input.noisy;
    input.noisy =
        base::add_noise(input.clean, o.sigma, base::make_generator(o.seed, "input noise"));
  }
  std::optional<data::Dataset> train;
  if (input.clean.defined() && (o.baseline || bars.level)) {
    train = apps::training_set(denoiser, o.input);
    if (o.baseline && !train) {
      base::fail_argument("denoise", "--baseline needs a training set; {} has none", denoiser.name);
    }
  }
  io::make_writable_directory(o.out);
  const auto begin = std::chrono::steady_clock::now();
  const posterior::Posterior result = apps::denoise_samples(denoiser, input.noisy, o.sigma,
                                                            {.num_components = o.components,
                                                             .num_samples = o.samples,
                                                             .seed = o.seed,
                                                             .temperature = bars.temperature},
                                                            apps::terminal_listener());
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (denoiser.run) apps::print_notice(training::sigma_notice(*denoiser.run, o.sigma));
  apps::print_notice(apps::covariance_notice(denoiser));
  apps::print_notice(apps::mean_notice(denoiser, o.denoiser.predicts, input, result.mean));
  if (result.num_negative_variances > 0) {
    apps::print_notice(fmt::format(
        "{} of {} variances are negative: their standard deviations{} are NaN (magenta in "
        "pictures)",
        result.num_negative_variances, result.variance.numel(),
        bars.level ? " and intervals" : ""));
  }
  const std::filesystem::path out = o.out;
  io::write_npz(out / "posterior.npz", to_arrays(input, bars, result));

  nlohmann::ordered_json metrics;
  metrics["kind"] = "denoise";
  metrics["title"] = fmt::format("Denoising {} samples at sigma {:g}", count, o.sigma);
  metrics["command"] = apps::command_line();
  metrics["denoiser"] = denoiser.name;
  if (!denoiser.run) metrics["predicts"] = o.denoiser.predicts;
  metrics["covariance"] = posterior::covariance_name(denoiser.covariance);
  metrics["num_samples"] = count;
  metrics["sigma"] = o.sigma;
  metrics["seconds"] = seconds;
  at::Tensor counted;
  if (input.clean.defined()) {
    apps::put_errors(metrics, denoiser, input, result.mean);
    if (train && bars.level) counted = data::varying_coordinates(*train);
  }
  apps::put_error_bars(metrics, bars, result, input.clean, counted);
  if (input.clean.defined() && o.components > 0) {
    apps::put_residual_energy(metrics, input, result);
    if (o.baseline) {
      apps::put_baseline(metrics, denoiser, input, result, *train, o.seed);
    }
  }
  if (result.variance.defined()) {
    metrics["num_negative_variances"] = result.num_negative_variances;
  }
  if (result.negative_part) metrics["negative_part"] = *result.negative_part;
  if (denoiser.run) metrics["train_seconds"] = denoiser.run->train_seconds;
  if (!samples.image_shape.empty()) {
    draw(o, samples.image_shape, input, result);
    metrics["pictures"] = {{{"file", "denoised.png"},
                            {"caption",
                             "Posterior of each noisy image: mean, standard deviation, "
                             "leading components of the covariance, samples."}}};
  }
  if (!pictures.files.empty()) {
    pictures.options.components = o.components;
    metrics["files"] =
        apps::write_pictures(pictures.files, pictures.options, input.clean, input.noisy, result);
  }
  io::write_file(out / "metrics.json", metrics.dump(2) + "\n");
  for (const auto& [key, value] : metrics.items()) {
    if (value.is_number()) fmt::print("{:<32} {:.6g}\n", key, value.get<double>());
  }
  if (!result.eigen_converged) {
    fmt::print("components reached a relative residual of {:.1e} only\n", result.eigen_residual);
  }
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
  auto o = std::make_shared<Options>();
  command
      ->add_option(
          "paths", o->paths,
          "RUN, a run folder, unless --denoiser is given; and INPUT: NPY, NPZ, CSV, IDX, "
          "PNG, folder of PNGs, a data set's name (its test set), or `test`: the run's own")
      ->type_name("[RUN] INPUT")
      ->required()
      ->expected(1, 2);
  CLI::Option* file =
      command->add_option("--denoiser", o->denoiser.file, "a TorchScript file, in place of RUN");
  CLI::Option* predicts =
      command->add_option("--predicts", o->denoiser.predicts,
                          "what its network gives: score, clean (a denoiser) or noise (of unit "
                          "size)");
  file->needs(predicts);
  predicts->needs(file);
  command
      ->add_option_function<std::string>(
          "--sigma",
          [o](const std::string& text) {
            o->estimate = text == "estimate";
            if (!o->estimate && !CLI::detail::lexical_cast(text, o->sigma)) {
              throw CLI::ValidationError("--sigma", "must be a number or `estimate`; got " + text);
            }
          },
          "noise level of the input (added unless --noisy), or `estimate`: found in each picture, "
          "which is noisy already")
      ->required();
  command->add_flag("--noisy", o->noisy, "the input is noisy already");
  command
      ->add_option("--covariance", o->denoiser.covariance,
                   "auto: the run's own s2, or subspace where there is none; subspace: leading "
                   "components alone, by Jacobian-vector products of s1; exact: the whole Jacobian "
                   "of s1, with standard deviations and samples (D backward passes, D^2 numbers a "
                   "sample)")
      ->capture_default_str();
  command->add_option("--pcs", o->components, "principal components a sample, 0 to D")
      ->check(CLI::NonNegativeNumber)
      ->default_str("20 or D");
  command->add_option("--samples", o->samples, "posterior samples a sample")->capture_default_str();
  command->add_option("--level", o->error_bars.level,
                      "write the intervals (lower, upper) that hold a clean coordinate with this "
                      "probability, above 0 and below 1");
  command->add_flag("--calibrated", o->error_bars.calibrated,
                    "multiply covariances by the temperature that `scorejet calibrate` fitted to "
                    "RUN, and take its widths for intervals");
  command->add_flag("--baseline", o->baseline,
                    "also measure the best fixed components, of a PCA of residuals on 5,000 "
                    "training samples, where there is a training set");
  command->add_option("--limit", o->limit, "first samples only; 0: all")->capture_default_str();
  command->add_option("--seed", o->seed, "random seed")->capture_default_str();
  command->add_option("--device", o->denoiser.device, "auto, cpu, cuda or cuda:N")
      ->capture_default_str();
  command->add_option("--out", o->out, "folder to write")->required();
  command->callback([o] { denoise(*o); });
}
