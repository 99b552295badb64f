// scorejet denoise RUN INPUT
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "apps/denoise_pictures.h"
#include "scorejet/base/error.h"
#include "scorejet/base/progress.h"
#include "scorejet/base/seed.h"
#include "scorejet/io/atomic_file.h"
#include "scorejet/io/npz.h"
#include "scorejet/io/tensor_bridge.h"
#include "scorejet/posterior/denoise.h"
#include "scorejet/posterior/residual.h"
#include "scorejet/report/picture_grid.h"
#include "scorejet/training/run_folder.h"

namespace {

using namespace scorejet;

constexpr int64_t kBlock = 100;             // samples denoised at a time
constexpr int64_t kBaselineSamples = 5000;  // training samples behind the PCA baseline

struct Options {
  std::string run, input, out, device = "auto";
  double sigma = 0;
  bool noisy = false, estimate = false;  // estimate: sigma from each picture
  int64_t components = 20, samples = 0, limit = 0;
  uint64_t seed = 0;
};

at::Tensor add_noise(const at::Tensor& x, double sigma, uint64_t seed, const char* stream) {
  return x + sigma * at::randn(x.sizes(), base::make_generator(seed, stream), x.options());
}

// All of the input's results, block by block, as one.
posterior::DenoiseResult denoise_all(const training::Run& run, const at::Tensor& x,
                                     const Options& o, int64_t components, int64_t samples) {
  std::vector<at::Tensor> mean, variance, eigenvalues, vectors, draws;
  posterior::DenoiseResult all;
  base::Progress bar("denoise", x.size(0));
  for (int64_t first = 0; first < x.size(0); first += kBlock) {
    const at::Tensor block = x.narrow(0, first, std::min(kBlock, x.size(0) - first));
    const auto part = posterior::denoise(
        *run.model, block.to(run.model->data_mean().device()), at::full({}, o.sigma),
        {.num_components = components, .num_samples = samples, .seed = o.seed, .first_row = first});
    mean.push_back(part.mean.cpu());
    if (part.variance.defined()) variance.push_back(part.variance.cpu());
    if (components > 0) {
      eigenvalues.push_back(part.eigenvalues.cpu());
      vectors.push_back(part.components.cpu());
    }
    if (samples > 0) draws.push_back(part.samples.cpu());
    all.num_negative_variances += part.num_negative_variances;
    all.eigen_residual = std::max(all.eigen_residual, part.eigen_residual);
    all.eigen_converged = all.eigen_converged && part.eigen_converged;
    bar.update(first + block.size(0), "");
  }
  all.mean = at::cat(mean);
  if (!variance.empty()) all.variance = at::cat(variance);
  if (components > 0) all.eigenvalues = at::cat(eigenvalues), all.components = at::cat(vectors);
  if (samples > 0) all.samples = at::cat(draws);
  return all;
}

// Principal directions of the residuals that this model leaves on training samples.
at::Tensor baseline(const training::Run& run, const Options& o, int64_t k) {
  const auto splits =
      data::load_splits(run.config.data.name, run.config.data.dir, run.config.data.validation);
  const at::Tensor clean = splits.train.slice(0, std::min(kBaselineSamples, splits.train.size()));
  const at::Tensor noisy = add_noise(clean, o.sigma, o.seed, "baseline noise");
  return posterior::principal_directions(clean - denoise_all(run, noisy, o, 0, 0).mean, k);
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

void put_errors(nlohmann::ordered_json& metrics, const training::Run& run, const Options& o,
                const at::Tensor& clean, const at::Tensor& noisy,
                const posterior::DenoiseResult& result) {
  const at::Tensor residual = clean - result.mean;
  if (run.model->options().network.image_shape.empty()) {  // no peak to speak of
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
  if (o.components > 0) {
    metrics["residual_energy_top_k"] =
        posterior::energy_share(residual, result.components).mean().item<double>();
    metrics["residual_energy_pca_k"] =
        posterior::energy_share(residual, baseline(run, o, o.components)).mean().item<double>();
    metrics["k"] = o.components;
  }
}

void denoise(Options o) {
  const training::Run run = training::load_run(o.run, o.device);
  if (run.model->max_order() < 2) o.components = o.samples = 0;
  if (!o.estimate && !(o.sigma > 0)) {
    base::fail_argument("denoise", "--sigma must be positive; got {}", o.sigma);
  }
  const apps::PictureOptions of_pictures{o.input,      o.out,     o.sigma, o.estimate, o.noisy,
                                         o.components, o.samples, o.limit, o.seed};
  std::vector<apps::PictureFile> pictures;
  if (apps::holds_pictures(o.input)) {
    pictures = apps::inspect_pictures(run, of_pictures);
    if (o.estimate || !apps::all_of_run(run, pictures)) {
      io::make_writable_directory(o.out);
      return apps::denoise_pictures(run, pictures, of_pictures);
    }
  } else if (o.estimate) {
    base::fail_argument("denoise", "--sigma estimate needs a PNG or a folder of PNGs; got {}",
                        o.input);
  }
  data::Dataset input;
  if (!pictures.empty()) {
    input = apps::load_pictures(pictures);
  } else if (o.input == "test") {
    input = data::load_splits(run.config.data.name, run.config.data.dir, run.config.data.validation)
                .test;
  } else {
    input = data::load_file(o.input);
  }
  if (input.dim() != run.model->dim()) {
    base::fail_argument("denoise", "{} must have D = {} numbers a sample, as the run has; got {}",
                        o.input, run.model->dim(), input.dim());
  }
  const int64_t count = o.limit > 0 ? std::min(o.limit, input.size()) : input.size();
  const at::Tensor x = input.slice(0, count);
  const at::Tensor clean = o.noisy ? at::Tensor() : x;
  const at::Tensor noisy = o.noisy ? x : add_noise(x, o.sigma, o.seed, "input noise");
  io::make_writable_directory(o.out);
  const posterior::DenoiseResult result = denoise_all(run, noisy, o, o.components, o.samples);
  apps::print_notice(training::sigma_notice(run, o.sigma));

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
  metrics["num_samples"] = count;
  metrics["sigma"] = o.sigma;
  if (clean.defined()) put_errors(metrics, run, o, clean, noisy, result);
  metrics["num_negative_variances"] = result.num_negative_variances;
  metrics["train_seconds"] = run.train_seconds;
  if (!input.image_shape.empty()) {
    draw(o, input.image_shape, clean, noisy, result);
    metrics["pictures"] = {{{"file", "denoised.png"},
                            {"caption",
                             "Posterior of each noisy image: mean, standard deviation, "
                             "leading components of the covariance, samples."}}};
  }
  if (!pictures.empty()) {
    metrics["files"] = apps::write_pictures(pictures, of_pictures, clean, noisy, result);
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
      "NAME_sd.png, NAME_components.png and NAME.npz.\n\nExample:\n"
      "  scorejet denoise runs/mnist test --sigma 0.5 --pcs 20 --limit 1000 --out "
      "runs/mnist/denoise");
  auto o = std::make_shared<Options>();
  command->add_option("run", o->run, "run folder")->required();
  command
      ->add_option("input", o->input,
                   "NPY, NPZ, CSV, IDX, PNG, folder of PNGs, or `test`: the run's own test set")
      ->required();
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
  command->add_option("--pcs", o->components, "principal components a sample")
      ->capture_default_str();
  command->add_option("--samples", o->samples, "posterior samples a sample")->capture_default_str();
  command->add_option("--limit", o->limit, "first samples only; 0: all")->capture_default_str();
  command->add_option("--seed", o->seed, "random seed")->capture_default_str();
  command->add_option("--device", o->device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  command->add_option("--out", o->out, "folder to write")->required();
  command->callback([o] { denoise(*o); });
}
