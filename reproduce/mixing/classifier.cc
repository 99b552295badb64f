#include "reproduce/mixing/classifier.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "src/base/check.h"
#include "src/base/progress.h"
#include "src/base/seed.h"
#include "src/io/safetensors.h"
#include "src/io/tensor_bridge.h"
#include "src/training/flat_parameters.h"
#include "src/training/optimiser.h"

namespace scorejet::reproduce {
namespace {

namespace fs = std::filesystem;
using Metadata = std::map<std::string, std::string>;

constexpr const char* kJudgeWhere = "reproduce::Judge";
constexpr const char* kFormat = "scorejet judge 1";

void check_labelled(const data::Dataset& train) {
  if (!train.is_image()) {
    base::fail_argument(kJudgeWhere, "{} must be a set of images; got vectors", train.name);
  }
  if (train.labels.defined()) return;
  const auto& known = data::dataset_names();
  if (std::find(known.begin(), known.end(), train.name) == known.end()) {
    base::fail_runtime(kJudgeWhere, "{} must have labels; files of one's own have none",
                       train.name);
  }
  base::fail_runtime(kJudgeWhere,
                     "{0} must have labels; fetch them with: scorejet data fetch {0} --dir FOLDER",
                     train.name);
}

// All that the weights depend on.
Metadata describe_judge(const data::Dataset& train, const JudgeOptions& options) {
  const ClassifierOptions& n = options.network;
  return {{"format", kFormat},
          {"data", train.name},
          {"samples", std::to_string(train.size())},
          {"image_shape", fmt::format("{}", fmt::join(n.image_shape, "x"))},
          {"num_classes", std::to_string(n.num_classes)},
          {"channels", std::to_string(n.channels)},
          {"levels", std::to_string(n.levels)},
          {"features", std::to_string(n.features)},
          {"steps", std::to_string(options.steps)},
          {"batch", std::to_string(options.batch)},
          {"learning_rate", fmt::format("{}", options.learning_rate)},
          {"ema", fmt::format("{}", options.ema)},
          {"max_shift", std::to_string(options.max_shift)},
          {"flip", options.flip ? "1" : "0"},
          {"distortion", options.distortion},
          {"seed", std::to_string(options.seed)}};
}

// Fills `network` from the judge at `path`; false, having said why, if it was trained otherwise.
bool load(const fs::path& path, const Metadata& wanted, Classifier& network) {
  const io::SafeTensors file = io::read_safetensors(path);
  const auto entry = [&](const std::string& key) {
    const auto found = file.metadata.find(key);
    return found == file.metadata.end() ? std::string() : found->second;
  };
  if (entry("format") != kFormat) {
    base::fail_runtime(kJudgeWhere, "{} must be of format \"{}\"; got \"{}\"", path.string(),
                       kFormat, entry("format"));
  }
  for (const auto& [key, value] : wanted) {
    if (entry(key) != value) {
      fmt::print(stderr, "{}: a judge trained otherwise ({} is {}, not {}); training anew\n",
                 path.string(), key, entry(key), value);
      return false;
    }
  }
  at::NoGradGuard no_grad;
  for (auto& item : network.named_parameters()) {
    const auto found = file.tensors.find(item.key());
    if (found == file.tensors.end() || found->second.shape != item.value().sizes().vec()) {
      base::fail_runtime(
          kJudgeWhere, "{} must hold {} {}; got {}", path.string(), item.key(),
          io::shape_string(item.value().sizes().vec()),
          found == file.tensors.end() ? "none" : io::shape_string(found->second.shape));
    }
    item.value().copy_(io::to_tensor(found->second));
  }
  return true;
}

void save(const fs::path& path, const Metadata& metadata, const Classifier& network) {
  io::SafeTensors file;
  file.metadata = metadata;
  for (const auto& item : network.named_parameters()) {
    file.tensors[item.key()] = io::from_tensor(item.value().detach());
  }
  io::write_safetensors(path, file);
}

// Rows of `train` as the network is to see them, [B, D].
at::Tensor make_batch(const data::Dataset& train, const JudgeOptions& options,
                      const at::Tensor& rows, at::Generator generator) {
  at::NoGradGuard no_grad;  // a distortion may be another network's work
  const std::vector<int64_t>& shape = train.image_shape;
  at::Tensor x = train.batch(rows);
  if (options.distort) x = options.distort(x, generator);
  x = x.view({-1, shape[0], shape[1], shape[2]});
  return shift_and_flip(x, options.max_shift, options.flip, generator).flatten(1);
}

void train_network(const data::Dataset& train, const JudgeOptions& options, Classifier& network) {
  training::FlatParameters parameters(network);
  training::AdamState adam = training::make_adam_state(parameters.values());
  constexpr int64_t kWarmup = 50;
  base::Progress bar("judge", options.steps);
  double mean = 0;  // of the loss, over the last steps
  for (int64_t step = 0; step < options.steps; ++step) {
    at::Generator generator =
        base::make_generator(options.seed, "judge", static_cast<uint64_t>(step));
    const at::Tensor rows =
        at::randint(train.size(), {options.batch}, generator, at::TensorOptions(at::kLong));
    const at::Tensor x = make_batch(train, options, rows, generator);
    parameters.gradients().zero_();
    const at::Tensor loss =
        at::cross_entropy_loss(network.forward(x).logits, train.labels.index_select(0, rows));
    torch::autograd::backward({loss});
    const double value = loss.item<double>();
    if (!std::isfinite(value)) {
      base::fail_runtime(kJudgeWhere, "the loss must be finite; got {} at step {}", value, step);
    }
    const double progress = static_cast<double>(step) / static_cast<double>(options.steps);
    training::adam_step(adam, parameters.values(), parameters.gradients(),
                        training::scheduled_rate(options.learning_rate, step, kWarmup, progress),
                        options.ema);
    mean += (value - mean) / static_cast<double>(std::min<int64_t>(step + 1, 100));
    bar.update(step + 1, fmt::format("cross-entropy {:.4f}", mean));
  }
  bar.finish(fmt::format("cross-entropy {:.4f}", mean));
  at::Tensor(parameters.values()).copy_(adam.average);
}

}  // namespace

at::Tensor shift_and_flip(const at::Tensor& x, int64_t max_shift, bool flip,
                          at::Generator generator) {
  const int64_t count = x.size(0), height = x.size(2), width = x.size(3);
  const auto integer = at::TensorOptions(at::kLong);
  const auto shifts = [&] {
    return at::randint(-max_shift, max_shift + 1, {count, 1}, generator, integer);
  };
  const at::Tensor row = (at::arange(height, integer) + shifts()).clamp_(0, height - 1);  // [B, H]
  at::Tensor column = (at::arange(width, integer) + shifts()).clamp_(0, width - 1);       // [B, W]
  if (flip) {
    const at::Tensor mirrored = at::randint(2, {count, 1}, generator, integer);
    column = column + mirrored * (width - 1 - 2 * column);
  }
  const at::Tensor pixel = row.unsqueeze(2) * width + column.unsqueeze(1);  // [B, H, W]
  return x.flatten(2).gather(2, pixel.view({count, 1, -1}).expand({-1, x.size(1), -1})).view_as(x);
}

Judge Judge::train_or_load(const data::Dataset& train, const JudgeOptions& options,
                           const fs::path& path) {
  check_labelled(train);
  JudgeOptions filled = options;
  filled.network.image_shape = train.image_shape;
  filled.network.num_classes = train.labels.max().item<int64_t>() + 1;
  const Metadata metadata = describe_judge(train, filled);
  torch::manual_seed(base::derive_seed(options.seed, "judge weights", 0));
  Judge judge(std::make_shared<Classifier>(filled.network));
  if (!fs::exists(path) || !load(path, metadata, *judge.network_)) {
    train_network(train, filled, *judge.network_);
    save(path, metadata, *judge.network_);
  }
  return judge;
}

Verdict Judge::classify(const at::Tensor& images) const {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> logits, features;
  for (const at::Tensor& batch : images.split(500)) {
    const Classifier::Output output = network_->forward(batch);
    logits.push_back(output.logits);
    features.push_back(output.features);
  }
  Verdict verdict;
  const at::Tensor log_probability = at::log_softmax(at::cat(logits), 1);
  const at::Tensor probability = log_probability.exp();
  std::tie(verdict.confidence, verdict.label) = probability.max(1);
  verdict.entropy = -(probability * log_probability).sum(1);
  verdict.features = at::cat(features);
  return verdict;
}

double Judge::accuracy(const at::Tensor& images, const at::Tensor& labels) const {
  base::check_shape("reproduce::Judge::accuracy", "labels", labels, {images.size(0)});
  return classify(images).label.eq(labels).to(at::kDouble).mean().item<double>();
}

}  // namespace scorejet::reproduce
