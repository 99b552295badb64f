// scorejet denoise RUN INPUT, or --denoiser FILE.pt --predicts KIND INPUT
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "apps/denoise_field.h"
#include "apps/denoise_pictures.h"
#include "scorejet/base/error.h"
#include "scorejet/base/progress.h"
#include "scorejet/base/seed.h"
#include "scorejet/io/atomic_file.h"
#include "scorejet/io/npz.h"
#include "scorejet/io/tensor_bridge.h"
#include "scorejet/posterior/residual.h"
#include "scorejet/report/picture_grid.h"

namespace {

using namespace scorejet;
using apps::Denoiser;
using apps::DenoiserRequest;

constexpr int64_t kComponents = 20;
constexpr int64_t kBaselineSamples = 5000;  // training samples behind the PCA baseline

struct Options {
  std::vector<std::string> paths;  // RUN and INPUT, or INPUT alone
  DenoiserRequest denoiser;
  std::string input, out;
  double sigma = 0;
  bool noisy = false, estimate = false;  // estimate: sigma from each picture
  int64_t components = -1;               // < 0: kComponents, or all there are
  int64_t samples = 0, limit = 0;
  uint64_t seed = 0;
};

bool is_named(const std::string& input) {
  const std::vector<std::string>& names = data::dataset_names();
  return std::find(names.begin(), names.end(), input) != names.end();
}

at::Tensor add_noise(const at::Tensor& x, double sigma, uint64_t seed, const char* stream) {
  return x + sigma * at::randn(x.sizes(), base::make_generator(seed, stream), x.options());
}

struct Results {
  posterior::DenoiseResult posterior;
  double negative_part = -1;  // largest over the blocks; < 0: none was looked for
};

// All of the input's results, block by block, as one.
Results denoise_all(const Denoiser& denoiser, const at::Tensor& x, const Options& o,
                    int64_t components, int64_t samples) {
  std::vector<at::Tensor> mean, variance, eigenvalues, vectors, draws;
  Results results;
  posterior::DenoiseResult& all = results.posterior;
  base::Progress bar("denoise", x.size(0));
  const int64_t rows = denoiser.block(components);
  for (int64_t first = 0; first < x.size(0); first += rows) {
    const int64_t count = std::min(rows, x.size(0) - first);
    const apps::DenoisedBlock block = apps::denoise_block(
        denoiser, x.narrow(0, first, count), o.sigma,
        {.num_components = components, .num_samples = samples, .seed = o.seed, .first_row = first});
    const posterior::DenoiseResult& part = block.posterior;
    mean.push_back(part.mean);
    if (part.variance.defined()) variance.push_back(part.variance);
    if (components > 0) {
      eigenvalues.push_back(part.eigenvalues);
      vectors.push_back(part.components);
    }
    if (samples > 0) draws.push_back(part.samples);
    all.num_negative_variances += part.num_negative_variances;
    all.eigen_residual = std::max(all.eigen_residual, part.eigen_residual);
    all.eigen_converged = all.eigen_converged && part.eigen_converged;
    results.negative_part = std::max(results.negative_part, block.negative_part.value_or(-1));
    bar.update(first + count, "");
  }
  all.mean = at::cat(mean);
  if (!variance.empty()) all.variance = at::cat(variance);
  if (components > 0) all.eigenvalues = at::cat(eigenvalues), all.components = at::cat(vectors);
  if (samples > 0) all.samples = at::cat(draws);
  return results;
}

// The training samples that the PCA baseline is made of: the run's, or those of the data set that
// the input is the test set of; none for files.
at::Tensor baseline_samples(const Denoiser& denoiser, const Options& o) {
  training::DataConfig data;
  if (denoiser.run) {
    data = denoiser.run->config.data;
  } else {
    if (!is_named(o.input)) return {};
    data.name = o.input;
  }
  const auto splits = data::load_splits(data.name, data.dir, data.validation);
  return splits.train.slice(0, std::min(kBaselineSamples, splits.train.size()));
}

// Principal directions of the residuals that this denoiser leaves on training samples.
at::Tensor baseline(const Denoiser& denoiser, const Options& o, const at::Tensor& clean,
                    int64_t k) {
  const at::Tensor noisy = add_noise(clean, o.sigma, o.seed, "baseline noise");
  Denoiser means = denoiser;
  means.covariance = apps::Covariance::kSubspace;  // which, of no components, is nothing
  return posterior::principal_directions(clean - denoise_all(means, noisy, o, 0, 0).posterior.mean,
                                         k);
}

void draw(const Options& o, const std::vector<int64_t>& shape, const at::Tensor& clean,
          const at::Tensor& noisy, const posterior::DenoiseResult& result) {
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
  report::write_picture_grid(std::filesystem::path(o.out) / "denoised.png", grid, {},
                             fmt::format("Denoising at sigma {:g}, with error bars", o.sigma));
}

void put_errors(nlohmann::ordered_json& metrics, const Denoiser& denoiser, const Options& o,
                const at::Tensor& clean, const at::Tensor& noisy,
                const posterior::DenoiseResult& result) {
  const at::Tensor residual = clean - result.mean;
  if (denoiser.image_shape.empty()) {  // no peak to speak of
    metrics["mse_noisy"] = (clean - noisy).square().mean().item<double>();
    metrics["mse_denoised"] = residual.square().mean().item<double>();
  } else {
    metrics["psnr_noisy"] = posterior::peak_signal_to_noise(clean, noisy);
    metrics["psnr_denoised"] = posterior::peak_signal_to_noise(clean, result.mean);
  }
  if (result.variance.defined()) {
    metrics["predicted_variance_over_mse"] =
        (result.variance.mean() / residual.square().mean()).item<double>();
  }
  if (o.components == 0) return;
  metrics["residual_energy_top_k"] =
      posterior::energy_share(residual, result.components).mean().item<double>();
  const at::Tensor samples = baseline_samples(denoiser, o);
  if (samples.defined()) {
    const at::Tensor directions = baseline(denoiser, o, samples, o.components);
    metrics["residual_energy_pca_k"] =
        posterior::energy_share(residual, directions).mean().item<double>();
  }
  metrics["k"] = o.components;
}

// A posterior mean is never further from the noisy point than the noise is, in the mean over
// samples, nor from the clean one: what is has another prediction than was said, or other units.
void warn_of_bad_mean(const Denoiser& denoiser, const Options& o, const at::Tensor& clean,
                      const at::Tensor& noisy, const at::Tensor& mean) {
  constexpr double kSlack = 1.1;  // few samples, and networks that are not quite right
  const double noise = o.sigma * o.sigma * kSlack;
  const bool far = (noisy - mean).square().mean().item<double>() > noise;
  const bool worse = clean.defined() && (clean - mean).square().mean().item<double>() > noise;
  if (!far && !worse) return;
  const std::string hint =
      denoiser.run ? ""
                   : fmt::format(" (is --predicts {} right, and the units of the data?)",
                                 o.denoiser.predicts);
  apps::print_notice(fmt::format("the mean is further from the {} than the noise{}",
                                 worse ? "clean input" : "noisy input", hint));
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
  return data::load_file(o.input);
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
                      .seed = o.seed};
  pictures.files = apps::inspect_pictures(*pictures.run, pictures.options);
  pictures.one_by_one = o.estimate || !apps::all_of_run(*pictures.run, pictures.files);
  return pictures;
}

void denoise(Options o) {
  take_paths(o);
  Pictures pictures = find_pictures(o);
  if (pictures.one_by_one) {
    io::make_writable_directory(o.out);
    return apps::denoise_pictures(*pictures.run, pictures.files, pictures.options);
  }
  const data::Dataset input =
      pictures.files.empty() ? read_input(o) : apps::load_pictures(pictures.files);
  const Denoiser denoiser = apps::open_denoiser(o.denoiser, input);
  if (!denoiser.has_variance() && o.samples > 0) {
    base::fail_argument("denoise", "--samples needs a covariance: --covariance exact, or an s2");
  }
  if (o.components < 0) o.components = std::min(kComponents, input.dim());
  const int64_t count = o.limit > 0 ? std::min(o.limit, input.size()) : input.size();
  const at::Tensor x = input.slice(0, count);
  const at::Tensor clean = o.noisy ? at::Tensor() : x;
  const at::Tensor noisy = o.noisy ? x : add_noise(x, o.sigma, o.seed, "input noise");
  io::make_writable_directory(o.out);
  const Results results = denoise_all(denoiser, noisy, o, o.components, o.samples);
  const posterior::DenoiseResult& result = results.posterior;
  if (denoiser.run) apps::print_notice(training::sigma_notice(*denoiser.run, o.sigma));
  apps::print_notice(apps::covariance_notice(denoiser));
  warn_of_bad_mean(denoiser, o, clean, noisy, result.mean);
  if (result.num_negative_variances > 0) {
    apps::print_notice(fmt::format(
        "{} of {} variances are negative: their standard deviations are NaN (magenta in pictures)",
        result.num_negative_variances, result.variance.numel()));
  }

  io::NamedArrays arrays{{"noisy", io::from_tensor(noisy)}, {"mean", io::from_tensor(result.mean)}};
  if (clean.defined()) arrays["clean"] = io::from_tensor(clean);
  if (result.variance.defined()) {
    arrays["standard_deviation"] = io::from_tensor(result.variance.sqrt());
  }
  if (o.components > 0) {
    arrays["eigenvalues"] = io::from_tensor(result.eigenvalues);
    arrays["components"] = io::from_tensor(result.components);
  }
  if (o.samples > 0) arrays["samples"] = io::from_tensor(result.samples);
  const std::filesystem::path out = o.out;
  io::write_npz(out / "posterior.npz", arrays);

  nlohmann::ordered_json metrics;
  metrics["kind"] = "denoise";
  metrics["title"] = fmt::format("Denoising {} samples at sigma {:g}", count, o.sigma);
  metrics["command"] = apps::command_line();
  metrics["denoiser"] = denoiser.name;
  if (!denoiser.run) metrics["predicts"] = o.denoiser.predicts;
  metrics["covariance"] = apps::covariance_name(denoiser.covariance);
  metrics["num_samples"] = count;
  metrics["sigma"] = o.sigma;
  if (clean.defined()) put_errors(metrics, denoiser, o, clean, noisy, result);
  if (result.variance.defined()) {
    metrics["num_negative_variances"] = result.num_negative_variances;
  }
  if (results.negative_part >= 0) metrics["negative_part"] = results.negative_part;
  if (denoiser.run) metrics["train_seconds"] = denoiser.run->train_seconds;
  if (!input.image_shape.empty()) {
    draw(o, input.image_shape, clean, noisy, result);
    metrics["pictures"] = {{{"file", "denoised.png"},
                            {"caption",
                             "Posterior of each noisy image: mean, standard deviation, "
                             "leading components of the covariance, samples."}}};
  }
  if (!pictures.files.empty()) {
    pictures.options.components = o.components;
    metrics["files"] = apps::write_pictures(pictures.files, pictures.options, clean, noisy, result);
  }
  io::write_file(out / "metrics.json", metrics.dump(2) + "\n");
  for (const auto& [key, value] : metrics.items()) {
    if (value.is_number()) fmt::print("{:<30} {:.6g}\n", key, value.get<double>());
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
      "samples), pictures, metrics.json. PNGs may have any size; each gets NAME_mean.png, "
      "NAME_sd.png, NAME_components.png and NAME.npz.\n\n"
      "With a run: RUN INPUT. With anyone's network: --denoiser FILE.pt --predicts KIND INPUT, a "
      "TorchScript file that takes (x) or (x, sigma), x [B, C, H, W] for images and [B, D] for "
      "vectors, sigma [B], in the units of the data (images: 0 to 1).\n\nExamples:\n"
      "  scorejet denoise runs/mnist test --sigma 0.5 --pcs 20 --limit 1000 --out "
      "runs/mnist/denoise\n"
      "  scorejet denoise --denoiser denoiser.pt --predicts clean mnist --sigma 0.5 --pcs 3 "
      "--limit 100 --out denoised");
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
  command->add_option("--limit", o->limit, "first samples only; 0: all")->capture_default_str();
  command->add_option("--seed", o->seed, "random seed")->capture_default_str();
  command->add_option("--device", o->denoiser.device, "auto, cpu, cuda or cuda:N")
      ->capture_default_str();
  command->add_option("--out", o->out, "folder to write")->required();
  command->callback([o] { denoise(*o); });
}
