#include "src/training/run_folder.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "src/base/device.h"
#include "src/base/error.h"
#include "src/io/atomic_file.h"

namespace scorejet::training {
namespace {

// JSON has no NaN: a loss that does not exist is left out.
void put(nlohmann::ordered_json& line, const char* key, double value) {
  if (std::isfinite(value)) line[key] = value;
}

}  // namespace

std::pair<at::Tensor, at::Tensor> coordinate_moments(const data::Dataset& dataset) {
  constexpr int64_t kBlock = 4096;
  const int64_t dim = dataset.dim();
  at::Tensor sum = at::zeros({dim}, at::kDouble), squares = at::zeros({dim}, at::kDouble);
  for (int64_t first = 0; first < dataset.size(); first += kBlock) {
    const at::Tensor x =
        dataset.slice(first, std::min(kBlock, dataset.size() - first)).to(at::kDouble);
    sum += x.sum(0);
    squares += x.square().sum(0);
  }
  const auto n = static_cast<double>(dataset.size());
  at::Tensor mean = sum / n, second = squares / n;
  if (dataset.is_image()) {
    const int64_t channels = dataset.image_shape[0];
    const auto per_channel = [&](const at::Tensor& value) {
      return value.view({channels, -1})
          .mean(1, true)
          .expand({channels, dim / channels})
          .reshape({dim});
    };
    mean = per_channel(mean);
    second = per_channel(second);
  }
  const at::Tensor variance = second - mean.square();
  const at::Tensor constant = variance <= 1e-12 * second.clamp_min(1e-30);
  if (constant.any().item<bool>()) {
    base::fail_domain("training::coordinate_moments",
                      "every {} of the data must vary; {} {} is constant in {}",
                      dataset.is_image() ? "channel" : "column",
                      dataset.is_image() ? "the channel of pixel" : "column",
                      at::nonzero(constant)[0][0].item<int64_t>(), dataset.name);
  }
  return {mean.to(at::kFloat), variance.to(at::kFloat)};
}

std::filesystem::path first_order_file(const std::filesystem::path& run) { return run / "s1.pt"; }

RunFolder RunFolder::create(const std::filesystem::path& path, bool resume) {
  RunFolder folder(path);
  if (folder.has_checkpoint() && !resume) {
    base::fail_runtime("training::RunFolder",
                       "{} already holds a run; give --resume to go on with it, or another --out",
                       path.string());
  }
  io::make_writable_directory(path / "checkpoints");
  return folder;
}

RunFolder RunFolder::open(const std::filesystem::path& path) {
  RunFolder folder(path);
  if (!std::filesystem::is_directory(path)) {
    base::fail_runtime("training::RunFolder", "{} must be the folder of a run; no such folder",
                       path.string());
  }
  for (const auto& file : {path / "config.toml", folder.checkpoint()}) {
    if (!std::filesystem::exists(file)) {
      base::fail_runtime("training::RunFolder", "{} must be the folder of a run; {} is missing",
                         path.string(), std::filesystem::relative(file, path).string());
    }
  }
  return folder;
}

bool RunFolder::has_checkpoint() const { return std::filesystem::exists(checkpoint()); }

void RunFolder::copy_first_order(const std::filesystem::path& file) const {
  io::replace_file(first_order_file(path_), [&](const std::filesystem::path& temporary) {
    std::filesystem::copy_file(file, temporary);
  });
}

void RunFolder::write_config(const std::string& toml) const {
  io::write_file(path_ / "config.toml", toml);
}

void RunFolder::rewind_metrics(int64_t step) const {
  const auto path = path_ / "metrics.jsonl";
  if (!std::filesystem::exists(path)) return;
  std::istringstream lines(io::read_text(path));
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    const auto parsed = nlohmann::json::parse(line, nullptr, false);
    if (!parsed.is_object() || parsed.value("step", int64_t{0}) > step) break;
    kept += line + "\n";
  }
  io::write_file(path, kept);
}

void RunFolder::append_metrics(int64_t step, double seconds, double rate, const StepLosses& train,
                               const StepLosses* validation) const {
  nlohmann::ordered_json line;
  line["step"] = step;
  put(line, "seconds", std::round(seconds * 1000) / 1000);
  put(line, "learning_rate", rate);
  put(line, "loss_s1", train.first);
  put(line, "loss_s2", train.second);
  put(line, "loss_s3", train.third);
  put(line, "grad_norm_s1", train.first_gradient);
  put(line, "grad_norm_s2", std::isnan(train.second) ? train.second : train.second_gradient);
  put(line, "grad_norm_s3", std::isnan(train.third) ? train.third : train.third_gradient);
  if (validation) {
    put(line, "validation_s1", validation->first);
    put(line, "validation_s2", validation->second);
    put(line, "validation_s3", validation->third);
  }
  const auto path = path_ / "metrics.jsonl";
  const std::string text = line.dump() + "\n";
  std::FILE* file = std::fopen(path.c_str(), "a");
  const bool written = file && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool closed = file && std::fclose(file) == 0;
  if (!written || !closed) {
    base::fail_runtime("training::append_metrics", "{} must be writable: {}", path.string(),
                       std::generic_category().message(errno));
  }
}

void RunFolder::write_summary(const RunConfig& config, const models::ScoreModel& model,
                              int64_t num_parameters, const TrainingState& state,
                              const std::vector<std::string>& notices) const {
  const auto description = describe_model(model.options());
  const bool image = !description.at("image_shape").empty();
  nlohmann::ordered_json summary;
  summary["data"] = config.data.name;
  summary["dim"] = model.dim();
  if (image) summary["image_shape"] = description.at("image_shape");
  summary["sigma"] = config.noise.sigma;
  if (config.noise.sigma_max > 0) summary["sigma_max"] = config.noise.sigma_max;
  summary["network"] = description.at("network");
  summary["num_parameters"] = num_parameters;
  if (!model.learns_first()) {
    summary["s1"] = config.s1.from;
    summary["s1_file"] = model.options().given_first;
  }
  summary["s2"] = description.at("s2");
  if (description.at("s2") == "low_rank") summary["rank"] = model.options().network.rank;
  if (description.at("s2") != "none") {
    summary["parameterisation"] = description.at("parameterisation");
    summary["form"] = objectives::form_name(config.loss.form);
    summary["variance_reduction"] = config.loss.variance_reduction;
  }
  if (model.max_order() >= 3) {
    summary["s3"] = description.at("s3");
    if (description.at("s3") == "low_rank") summary["s3_rank"] = model.options().network.s3_rank;
  }
  summary["step"] = state.adam.step;
  summary["train_seconds"] = std::round(state.seconds * 10) / 10;
  put(summary, "best_validation_s1", state.best_first);
  put(summary, "best_validation_s2", state.best_second);
  if (model.max_order() >= 3) put(summary, "best_validation_s3", state.best_third);
  if (state.best_step >= 0) summary["best_validation_step"] = state.best_step;
  if (!notices.empty()) summary["notices"] = notices;
  io::write_file(path_ / "run.json", summary.dump(2) + "\n");
}

Run load_run(const std::filesystem::path& path, const std::string& device) {
  const RunFolder folder = RunFolder::open(path);
  Run run;
  run.config = read_config(path / "config.toml");
  run.model = load_model(folder.checkpoint(), first_order_file(path), base::parse_device(device));
  run.train_seconds = checkpoint_number(folder.checkpoint(), "seconds");
  run.step = static_cast<int64_t>(checkpoint_number(folder.checkpoint(), "step"));
  return run;
}

std::string sigma_notice(const Run& run, double sigma) {
  constexpr double kSlack = 1e-6;  // sigma given in decimal
  const double low = run.config.noise.sigma, high = std::max(low, run.config.noise.sigma_max);
  if (sigma >= low * (1 - kSlack) && sigma <= high * (1 + kSlack)) return "";
  return fmt::format(
      "sigma = {:g} lies outside what the run was trained on: {}", sigma,
      low == high ? fmt::format("{:g}", low) : fmt::format("{:g} to {:g}", low, high));
}

}  // namespace scorejet::training
