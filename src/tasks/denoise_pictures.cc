#include "src/tasks/denoise_pictures.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "src/base/error.h"
#include "src/base/noise.h"
#include "src/base/seed.h"
#include "src/io/atomic_file.h"
#include "src/io/npz.h"
#include "src/io/tensor_bridge.h"
#include "src/posterior/noise_level.h"
#include "src/posterior/residual.h"
#include "src/report/picture_grid.h"

namespace scorejet::tasks {
namespace {

namespace fs = std::filesystem;
using PictureJson = nlohmann::ordered_json;

constexpr int64_t kGridComponents = 4;   // of the first few
constexpr size_t kReported = 8;          // pictures that the report shows
constexpr double kManyAtTheEnds = 0.05;  // black or white samples that make an estimate doubtful

// [C, H, W], in [0, 1].
at::Tensor unit_values(const io::Picture& picture) {
  return io::to_tensor(picture.samples)
      .permute({2, 0, 1})
      .to(at::kFloat)
      .div_(static_cast<double>(picture.maximum()))
      .contiguous();
}

// Samples of so large a maximum from [C, H, W] in [0, 1]; the share of those that lay outside by
// more than a file's rounding goes to `clipped`.
io::NdArray to_samples(const at::Tensor& unit, int64_t maximum, double* clipped) {
  const at::Tensor levels = (unit * static_cast<double>(maximum)).round();
  *clipped = ((levels < 0).logical_or(levels > maximum)).to(at::kDouble).mean().item<double>();
  return io::from_tensor(
      levels.clamp(0, maximum).permute({1, 2, 0}).to(maximum == 255 ? at::kByte : at::kInt));
}

// One picture: a row, or a row a channel where a grey model denoises a colour picture.
struct DenoisedPicture {
  at::Tensor clean, noisy;  // [B, D]; clean may be undefined
  posterior::Posterior result;
};

void write_picture_columns(const fs::path& path, const PictureFile& file, const DenoisedPicture& d,
                           const base::Listener& listener) {
  const int64_t rows = d.noisy.size(0), channels = file.shape[0] / rows;
  const auto tiles = [&](const at::Tensor& x) {
    return io::from_tensor(
        x.reshape({rows, channels, file.shape[1], file.shape[2]}).to(at::kFloat));
  };
  using report::Colormap;
  const report::ValueRange unit{0, 1};
  std::vector<report::GridColumn> grid{
      {"noisy", tiles(d.noisy.clamp(0, 1)), Colormap::kGrey, unit},
      {"mean", tiles(d.result.mean.clamp(0, 1)), Colormap::kGrey, unit},
      {"standard deviation",
       tiles(d.result.variance.clamp_min(0).sqrt()),
       Colormap::kSequential,
       {}}};
  for (int64_t k = 0; k < std::min(kGridComponents, d.result.components.size(1)); ++k) {
    grid.push_back({fmt::format("component {}", k + 1),
                    tiles(d.result.components.select(1, k)),
                    Colormap::kDiverging,
                    {}});
  }
  std::vector<std::string> labels;
  if (rows > 1) labels = {"red", "green", "blue"};
  listener.on_notice(report::write_picture_grid(path, grid, labels, ""));
}

io::NamedArrays picture_arrays(const PictureFile& file, const DenoisedPicture& d) {
  const int64_t rows = d.noisy.size(0), channels = file.shape[0] / rows;
  const int64_t height = file.shape[1], width = file.shape[2];
  const auto image = [&](const at::Tensor& x) { return io::from_tensor(x.reshape(file.shape)); };
  io::NamedArrays arrays{{"noisy", image(d.noisy)}, {"mean", image(d.result.mean)}};
  if (d.clean.defined()) arrays["clean"] = image(d.clean);
  if (d.result.variance.defined()) {
    arrays["standard_deviation"] = image(d.result.variance.sqrt());
  }
  const posterior::Interval interval = intervals(file.error_bars, d.result);
  if (interval.lower.defined()) {
    arrays["lower"] = image(interval.lower);
    arrays["upper"] = image(interval.upper);
  }
  if (d.result.components.defined()) {
    arrays["eigenvalues"] = io::from_tensor(d.result.eigenvalues);
    arrays["components"] =
        io::from_tensor(d.result.components.reshape({rows, -1, channels, height, width}));
  }
  if (d.result.samples.defined()) {  // [B, S, D] to [S, C, H, W]
    arrays["samples"] = io::from_tensor(
        d.result.samples.transpose(0, 1).reshape({-1, file.shape[0], height, width}));
  }
  return arrays;
}

// Writes the files of one picture.
PictureReport write_one(const PictureFile& file, const io::Picture& picture,
                        const DenoiseOptions& o, const DenoisedPicture& d,
                        const base::Listener& listener) {
  PictureReport report{.file = file.path.filename().string(),
                       .channels = file.shape[0],
                       .height = file.shape[1],
                       .width = file.shape[2],
                       .bits = picture.bits(),
                       .alpha = picture.has_alpha(),
                       .sigma = file.sigma,
                       .sigma_estimated = o.estimate,
                       .eigen_residual = d.result.eigen_residual,
                       .eigen_converged = d.result.eigen_converged};
  const std::string name = file.path.stem().string();
  const at::Tensor mean = d.result.mean.reshape(file.shape);
  io::write_picture(o.out / (name + "_mean.png"),
                    {to_samples(mean, picture.maximum(), &report.clipped_mean), picture.alpha});
  if (d.result.variance.defined()) {
    double clipped = 0;
    const at::Tensor sd = d.result.variance.clamp_min(0).sqrt().reshape(file.shape);
    io::write_picture(o.out / (name + "_sd.png"),
                      {to_samples(sd / file.sigma, picture.maximum(), &clipped)});
    report.clipped_sd = clipped;
  }
  if (d.result.components.defined()) {
    write_picture_columns(o.out / (name + "_components.png"), file, d, listener);
  }
  io::write_npz(o.out / (name + ".npz"), picture_arrays(file, d));
  if (d.clean.defined()) {
    report.psnr_noisy = posterior::peak_signal_to_noise(d.clean, d.noisy);
    report.psnr_denoised = posterior::peak_signal_to_noise(d.clean, d.result.mean);
  }
  report.error_bars = measure_error_bars(file.error_bars, d.result, d.clean, {});
  return report;
}

DenoisedPicture denoise_one(const training::Run& run, const PictureFile& file,
                            const io::Picture& picture, const DenoiseOptions& o, int64_t number) {
  const auto& shape = run.model->options().network.image_shape;
  const at::Tensor x = unit_values(picture).reshape({file.shape[0] / shape[0], -1});
  DenoisedPicture d;
  d.noisy = x;
  if (!o.noisy && !o.estimate) {
    d.clean = x;
    d.noisy = base::add_noise(
        x, file.sigma, base::make_generator(o.seed, "input noise", static_cast<uint64_t>(number)));
  }
  const auto field = models::field_of_size(*run.model, file.shape[1], file.shape[2]);
  d.result =
      posterior::posteriors(*field, d.noisy, file.sigma,
                            {.wanted = {.num_components = std::min(o.components, field->dim()),
                                        .num_samples = o.samples,
                                        .seed = o.seed,
                                        .first_row = 3 * number,
                                        .temperature = file.error_bars.temperature},
                             .device = run.model->data_mean().device(),
                             .name = file.path.string()});
  return d;
}

double estimate_sigma(const PictureFile& file, const io::Picture& picture,
                      const base::Listener& listener) {
  const at::Tensor x = unit_values(picture);
  if (std::min(file.shape[1], file.shape[2]) < 8) {
    base::fail_argument("denoise",
                        "{} must have at least 8 x 8 pixels for its noise to be estimated; got {} "
                        "x {} (give --sigma)",
                        file.path.string(), file.shape[2], file.shape[1]);
  }
  const double sigma = posterior::estimate_noise(x);
  if (!(sigma > 0)) {
    base::fail_domain("denoise", "{} must have noise to remove; its estimated sigma is 0",
                      file.path.string());
  }
  const double ends = x.eq(0).logical_or(x.eq(1)).to(at::kDouble).mean().item<double>();
  if (ends > kManyAtTheEnds) {
    listener.on_notice(fmt::format(
        "{:.0f} % of the samples of {} are black or white: noise cut off there makes the estimate "
        "{:.3g} too low",
        100 * ends, file.path.string(), sigma));
  }
  return sigma;
}

// What pictures of other sizes and channels than the run's own come with.
void say_what_differs(const training::Run& run, const std::vector<PictureFile>& files,
                      const DenoiseOptions& o, const base::Listener& listener) {
  const auto& trained = run.model->options().network.image_shape;
  if (std::any_of(files.begin(), files.end(),
                  [&](const PictureFile& file) { return file.shape[0] != trained[0]; })) {
    listener.on_notice(
        "the run is of grey images: each channel of a colour picture is denoised as one");
  }
  const auto larger = std::find_if(files.begin(), files.end(), [&](const PictureFile& file) {
    return file.shape[1] > trained[1] || file.shape[2] > trained[2];
  });
  if (larger != files.end() && (o.components > 0 || o.samples > 0)) {
    listener.on_notice(
        fmt::format("{} is larger than the {} x {} trained on: components and samples link pixels "
                    "further apart than training saw, and eigenvalues are too large",
                    larger->path.string(), trained[2], trained[1]));
  }
  if (o.error_bars.calibrated && !all_of_run(run, files)) {
    listener.on_notice(
        fmt::format("the correction was fitted to images of {} x {}: other sizes take it as it is",
                    trained[2], trained[1]));
  }
}

PictureJson picture_metrics(const training::Run& run, const std::vector<PictureFile>& files,
                            const DenoiseOptions& o, const DenoiseReport& report,
                            int64_t negative) {
  PictureJson lines = PictureJson::array(), shown = PictureJson::array();
  for (size_t i = 0; i < files.size(); ++i) {
    lines.push_back(to_json(report.pictures[i]));
    if (i >= kReported) continue;
    const fs::path& path = files[i].path;
    const char* ending = o.components > 0 ? "_components.png" : "_mean.png";
    shown.push_back({{"file", path.stem().string() + ending},
                     {"caption", fmt::format("Posterior of {}, sigma {:.4g}.",
                                             path.filename().string(), files[i].sigma)}});
  }
  PictureJson metrics;
  metrics["kind"] = "denoise";
  metrics["title"] =
      fmt::format("Denoising {} picture{} of any size", files.size(), files.size() == 1 ? "" : "s");
  metrics["command"] = o.command;
  metrics["num_pictures"] = files.size();
  if (!o.estimate) metrics["sigma"] = o.sigma;
  metrics["num_negative_variances"] = negative;
  metrics["train_seconds"] = run.train_seconds;
  metrics["files"] = lines;
  metrics["pictures"] = shown;
  return metrics;
}

}  // namespace

bool holds_pictures(const fs::path& input) {
  return fs::is_directory(input) || input.extension() == ".png" || input.extension() == ".PNG";
}

std::vector<PictureFile> inspect_pictures(const training::Run& run, const DenoiseOptions& o,
                                          const base::Listener& listener) {
  const auto& shape = run.model->options().network.image_shape;
  if (shape.empty()) {
    base::fail_argument("denoise", "{} needs a run trained on images; got one of vectors of {}",
                        o.input, run.model->dim());
  }
  std::error_code missing;
  if (fs::is_directory(o.input) && fs::equivalent(o.input, o.out, missing)) {
    base::fail_argument("denoise", "--out must be another folder than the pictures'; got {}",
                        o.out.string());
  }
  std::vector<fs::path> paths = io::list_pngs(o.input);
  if (o.limit > 0 && o.limit < std::ssize(paths)) paths.resize(static_cast<size_t>(o.limit));
  std::set<std::string> names{"posterior"};  // .npz, of all of them
  std::vector<PictureFile> files;
  for (const fs::path& path : paths) {
    if (!names.insert(path.stem().string()).second) {
      base::fail_argument("denoise", "{} must have a name of its own: {}.npz is another's",
                          path.string(), path.stem().string());
    }
    io::Picture picture = io::read_picture(path);
    const auto& size = picture.samples.shape;
    files.push_back({path, {size[2], size[0], size[1]}, o.sigma, {}, {}});
    if (size[2] % shape[0] != 0) {
      base::fail_argument("denoise", "{} must have {} channels, as the run has; it is grey",
                          path.string(), shape[0]);
    }
    if (o.estimate) files.back().sigma = estimate_sigma(files.back(), picture, listener);
    try {
      files.back().error_bars = error_bars_at(o.error_bars, files.back().sigma);
    } catch (const std::domain_error& error) {
      if (!o.estimate) throw;
      base::fail_domain("denoise", "{}, sigma estimated: {}", path.string(), error.what());
    }
    if (files.back().shape == shape) files.back().picture = std::move(picture);
  }
  return files;
}

bool all_of_run(const training::Run& run, const std::vector<PictureFile>& files) {
  const auto& shape = run.model->options().network.image_shape;
  return std::all_of(files.begin(), files.end(),
                     [&](const PictureFile& file) { return file.shape == shape; });
}

data::Dataset load_pictures(const std::vector<PictureFile>& files) {
  std::vector<at::Tensor> rows;
  for (const PictureFile& file : files) {
    rows.push_back(unit_values(file.picture.value()).flatten());
  }
  return {"pictures", at::stack(rows), files.front().shape};
}

std::vector<PictureReport> write_pictures(const std::vector<PictureFile>& files,
                                          const DenoiseOptions& o, const DenoisedInput& input,
                                          const posterior::Posterior& result,
                                          const base::Listener& listener) {
  std::vector<PictureReport> reports;
  for (int64_t i = 0; i < std::ssize(files); ++i) {
    const PictureFile& file = files[static_cast<size_t>(i)];
    const at::Tensor& clean = input.clean;
    const DenoisedPicture d{clean.defined() ? clean.narrow(0, i, 1) : clean,
                            input.noisy.narrow(0, i, 1), posterior::row_of(result, i)};
    reports.push_back(write_one(file, file.picture.value(), o, d, listener));
  }
  return reports;
}

DenoiseReport denoise_pictures(const training::Run& run, const std::vector<PictureFile>& files,
                               const DenoiseOptions& o, const base::Listener& listener) {
  say_what_differs(run, files, o, listener);
  DenoiseReport report;
  std::set<std::string> notices;
  int64_t negative = 0;
  listener.on_progress({"denoise", 0, std::ssize(files), 0, ""});
  for (int64_t i = 0; i < std::ssize(files); ++i) {
    if (listener.stopped()) {
      report.stopped = true;
      return report;
    }
    const PictureFile& file = files[static_cast<size_t>(i)];
    const std::string notice = training::sigma_notice(run, file.sigma);
    if (notices.insert(notice).second) listener.on_notice(notice);
    const io::Picture picture = file.picture ? *file.picture : io::read_picture(file.path);
    const DenoisedPicture d = denoise_one(run, file, picture, o, i);
    report.pictures.push_back(write_one(file, picture, o, d, listener));
    negative += d.result.num_negative_variances;
    listener.on_progress({"denoise", i + 1, std::ssize(files), 0, ""});
  }
  if (negative > 0) {
    listener.on_notice(fmt::format(
        "{} variances are negative: their standard deviations{} are NaN (0 in pictures)", negative,
        o.error_bars.level ? " and intervals" : ""));
  }
  io::write_file(o.out / "metrics.json",
                 picture_metrics(run, files, o, report, negative).dump(2) + "\n");
  return report;
}

PictureJson to_json(const PictureReport& report) {
  PictureJson line;
  line["file"] = report.file;
  line["channels"] = report.channels;
  line["height"] = report.height;
  line["width"] = report.width;
  line["bits"] = report.bits;
  line["alpha"] = report.alpha;
  line["sigma"] = report.sigma;
  line["sigma_estimated"] = report.sigma_estimated;
  if (report.psnr_noisy) line["psnr_noisy"] = *report.psnr_noisy;
  if (report.psnr_denoised) line["psnr_denoised"] = *report.psnr_denoised;
  put_error_bars(line, report.error_bars);
  line["clipped_mean"] = report.clipped_mean;
  if (report.clipped_sd) {
    line["sd_white"] = report.sigma;
    line["clipped_sd"] = *report.clipped_sd;
  }
  return line;
}

}  // namespace scorejet::tasks
