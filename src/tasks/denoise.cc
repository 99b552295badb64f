#include "scorejet/tasks.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "src/base/error.h"
#include "src/base/noise.h"
#include "src/base/seed.h"
#include "src/io/atomic_file.h"
#include "src/io/npz.h"
#include "src/io/tensor_bridge.h"
#include "src/report/picture_grid.h"
#include "src/tasks/denoise_errors.h"
#include "src/tasks/denoise_pictures.h"
#include "src/tasks/denoiser.h"
#include "src/tasks/error_bars.h"
#include "src/training/run_folder.h"

namespace scorejet::tasks {
namespace {

using DenoiseJson = nlohmann::ordered_json;

constexpr int64_t kComponentsUnsaid = 20;

bool is_data_set(const std::string& input) {
  const std::vector<std::string>& names = data::dataset_names();
  return std::find(names.begin(), names.end(), input) != names.end();
}

void draw_denoised(const DenoiseOptions& o, const std::vector<int64_t>& shape,
                   const DenoiseReport& done, const base::Listener& listener) {
  const posterior::Posterior& result = done.posterior;
  const at::Tensor &clean = done.input.clean, &noisy = done.input.noisy;
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
  listener.on_notice(report::write_picture_grid(o.out / "denoised.png", grid, {}, title));
}

data::Dataset read_denoise_input(const DenoiseOptions& o, const base::Listener& listener) {
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
  if (is_data_set(o.input) && !std::filesystem::exists(o.input)) {
    const training::DataConfig data;
    return data::load_splits(o.input, data.dir, data.validation).test;
  }
  data::Dataset input = data::load_file(o.input);
  listener.on_notice(input.notice);
  return input;
}

// The input's PNGs, where a run denoises them.
struct Pictures {
  std::shared_ptr<const training::Run> run;
  std::vector<PictureFile> files;
  DenoiseOptions options;   // of one by one: components are chosen
  bool one_by_one = false;  // not all of the run's own size, or each with a sigma of its own
};

Pictures find_pictures(const DenoiseOptions& o, const base::Listener& listener) {
  if (!o.estimate && !(o.sigma > 0)) {
    base::fail_argument("denoise", "--sigma must be positive; got {}", o.sigma);
  }
  const bool any = o.denoiser.file.empty() && holds_pictures(o.input);
  if (o.estimate && !any) {
    base::fail_argument("denoise",
                        "--sigma estimate needs a run and a PNG or a folder of PNGs; got {}{}{}",
                        o.denoiser.run, o.denoiser.run.empty() ? "" : " ", o.input);
  }
  if (!any) return {};
  Pictures pictures;
  pictures.run =
      std::make_shared<training::Run>(training::load_run(o.denoiser.run, o.denoiser.device));
  const bool second = pictures.run->model->max_order() >= 2;
  pictures.options = o;
  if (o.components < 0) pictures.options.components = kComponentsUnsaid;
  if (!second) pictures.options.components = pictures.options.samples = 0;
  pictures.files = inspect_pictures(*pictures.run, pictures.options, listener);
  pictures.one_by_one = o.estimate || !all_of_run(*pictures.run, pictures.files);
  if (pictures.one_by_one && !second && (o.samples > 0 || o.error_bars.level)) {
    base::fail_argument("denoise",
                        "--samples and --level need a run with an s2 for pictures of any size; got "
                        "{}, which has none",
                        o.denoiser.run);
  }
  return pictures;
}

// What is denoised as one batch, and with what.
struct Batch {
  Denoiser denoiser;
  ErrorBars bars;
  DenoisedInput input;
  std::optional<data::Dataset> train;  // where a figure needs it
  std::vector<int64_t> image_shape;    // of the samples
};

Batch open_batch(DenoiseOptions& o, const Pictures& pictures, const base::Listener& listener) {
  Batch batch;
  batch.bars = error_bars_at(o.error_bars, o.sigma);
  const data::Dataset samples =
      pictures.files.empty() ? read_denoise_input(o, listener) : load_pictures(pictures.files);
  batch.image_shape = samples.image_shape;
  batch.denoiser = open_denoiser(o.denoiser, samples, o.sigma, pictures.run);
  if (!batch.denoiser.has_variance() && (o.samples > 0 || batch.bars.level)) {
    base::fail_argument("denoise", "{} needs a covariance: --covariance exact, or an s2",
                        batch.bars.level ? "--level" : "--samples");
  }
  if (o.components < 0) o.components = std::min(kComponentsUnsaid, samples.dim());
  const int64_t count = o.limit > 0 ? std::min(o.limit, samples.size()) : samples.size();
  batch.input = {{}, samples.slice(0, count), o.sigma};
  if (!o.noisy) {
    batch.input.clean = batch.input.noisy;
    batch.input.noisy =
        base::add_noise(batch.input.clean, o.sigma, base::make_generator(o.seed, "input noise"));
  }
  if (batch.input.clean.defined() && (o.baseline || batch.bars.level)) {
    batch.train = training_set(batch.denoiser, o.input);
    if (o.baseline && !batch.train) {
      base::fail_argument("denoise", "--baseline needs a training set; {} has none",
                          batch.denoiser.name);
    }
  }
  return batch;
}

void say_of_result(const DenoiseOptions& o, const Batch& batch, const posterior::Posterior& result,
                   const base::Listener& listener) {
  const Denoiser& denoiser = batch.denoiser;
  if (denoiser.run) listener.on_notice(training::sigma_notice(*denoiser.run, o.sigma));
  listener.on_notice(covariance_notice(denoiser));
  listener.on_notice(mean_notice(denoiser, o.denoiser.predicts, batch.input, result.mean));
  if (result.num_negative_variances == 0) return;
  listener.on_notice(fmt::format(
      "{} of {} variances are negative: their standard deviations{} are NaN (magenta in pictures)",
      result.num_negative_variances, result.variance.numel(),
      batch.bars.level ? " and intervals" : ""));
}

// The arrays of posterior.npz.
io::NamedArrays batch_arrays(const DenoiseReport& done) {
  const posterior::Posterior& result = done.posterior;
  const at::Tensor sd = result.variance.defined() ? result.variance.sqrt() : at::Tensor();
  io::NamedArrays arrays;
  for (const auto& [name, tensor] : {std::pair{"clean", done.input.clean},
                                     {"noisy", done.input.noisy},
                                     {"mean", result.mean},
                                     {"standard_deviation", sd},
                                     {"lower", done.interval.lower},
                                     {"upper", done.interval.upper},
                                     {"eigenvalues", result.eigenvalues},
                                     {"components", result.components},
                                     {"samples", result.samples}}) {
    if (tensor.defined()) arrays[name] = io::from_tensor(tensor);
  }
  return arrays;
}

// metrics.json but for the pictures.
DenoiseJson batch_metrics(const DenoiseOptions& o, const Batch& batch,
                          const posterior::Posterior& result, double seconds,
                          const base::Listener& listener) {
  const Denoiser& denoiser = batch.denoiser;
  const DenoisedInput& input = batch.input;
  DenoiseJson metrics;
  metrics["kind"] = "denoise";
  metrics["title"] =
      fmt::format("Denoising {} samples at sigma {:g}", input.noisy.size(0), o.sigma);
  metrics["command"] = o.command;
  metrics["denoiser"] = denoiser.name;
  if (!denoiser.run) metrics["predicts"] = o.denoiser.predicts;
  metrics["covariance"] = posterior::covariance_name(denoiser.covariance);
  metrics["num_samples"] = input.noisy.size(0);
  metrics["sigma"] = o.sigma;
  metrics["seconds"] = seconds;
  at::Tensor counted;
  if (input.clean.defined()) {
    put_errors(metrics, denoiser, input, result.mean);
    if (batch.train && batch.bars.level) counted = data::varying_coordinates(*batch.train);
  }
  put_error_bars(metrics, measure_error_bars(batch.bars, result, input.clean, counted));
  if (input.clean.defined() && o.components > 0) {
    put_residual_energy(metrics, input, result);
    if (o.baseline) put_baseline(metrics, denoiser, input, result, *batch.train, o.seed, listener);
  }
  if (result.variance.defined()) {
    metrics["num_negative_variances"] = result.num_negative_variances;
  }
  if (result.negative_part) metrics["negative_part"] = *result.negative_part;
  if (denoiser.run) metrics["train_seconds"] = denoiser.run->train_seconds;
  return metrics;
}

void write_batch(const DenoiseOptions& o, const Batch& batch, const Pictures& pictures,
                 DenoiseJson metrics, DenoiseReport& done, const base::Listener& listener) {
  io::write_npz(o.out / "posterior.npz", batch_arrays(done));
  if (!batch.image_shape.empty()) {
    draw_denoised(o, batch.image_shape, done, listener);
    metrics["pictures"] = {{{"file", "denoised.png"},
                            {"caption",
                             "Posterior of each noisy image: mean, standard deviation, "
                             "leading components of the covariance, samples."}}};
  }
  if (!pictures.files.empty()) {
    done.pictures = write_pictures(pictures.files, o, done.input, done.posterior, listener);
    metrics["files"] = DenoiseJson::array();
    for (const PictureReport& picture : done.pictures) metrics["files"].push_back(to_json(picture));
  }
  io::write_file(o.out / "metrics.json", metrics.dump(2) + "\n");
  for (const auto& [key, value] : metrics.items()) {
    if (value.is_number()) done.figures.emplace_back(key, value.get<double>());
  }
}

}  // namespace

DenoiseReport denoise(DenoiseOptions o, const base::Listener& listener) {
  open_error_bars(o.error_bars, o.denoiser);
  const Pictures pictures = find_pictures(o, listener);
  if (o.baseline && (o.noisy || o.components == 0 || pictures.one_by_one)) {
    base::fail_argument("denoise",
                        "--baseline needs clean samples of the run's own size and --pcs above 0");
  }
  if (pictures.one_by_one) {
    io::make_writable_directory(o.out);
    return denoise_pictures(*pictures.run, pictures.files, pictures.options, listener);
  }
  const Batch batch = open_batch(o, pictures, listener);
  io::make_writable_directory(o.out);
  DenoiseReport done;
  done.input = batch.input;
  const auto begin = std::chrono::steady_clock::now();
  done.posterior = denoise_samples(batch.denoiser, batch.input.noisy, o.sigma,
                                   {.num_components = o.components,
                                    .num_samples = o.samples,
                                    .seed = o.seed,
                                    .temperature = batch.bars.temperature},
                                   listener);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  done.stopped = done.posterior.mean.size(0) < batch.input.noisy.size(0);
  if (done.stopped) return done;
  say_of_result(o, batch, done.posterior, listener);
  done.interval = intervals(batch.bars, done.posterior);
  DenoiseJson metrics = batch_metrics(o, batch, done.posterior, seconds.count(), listener);
  write_batch(o, batch, pictures, std::move(metrics), done, listener);
  return done;
}

}  // namespace scorejet::tasks
