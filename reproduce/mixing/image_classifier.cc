#include "reproduce/mixing/image_classifier.h"

#include <ATen/ATen.h>

#include <string>

#include "src/base/check.h"

namespace scorejet::reproduce {
namespace {

constexpr const char* kClassifierWhere = "reproduce::Classifier";
// Images in [0, 1] to numbers about zero, of about unit size.
constexpr double kCentre = 0.5, kSpread = 0.25;

// Halves the resolution, rounded up: any size will do.
torch::nn::Conv2d halving(int64_t in, int64_t out) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).stride(2).padding(1));
}

void check_classifier(const char* name, int64_t value) {
  if (value < 1)
    base::fail_argument(kClassifierWhere, "{} must be at least 1; got {}", name, value);
}

}  // namespace

Classifier::Classifier(const ClassifierOptions& options) : options_(options) {
  if (options.image_shape.size() != 3) {
    base::fail_argument(kClassifierWhere,
                        "image_shape must have three sizes, channels, height and width; got {}",
                        options.image_shape.size());
  }
  check_classifier("num_classes", options.num_classes);
  check_classifier("channels", options.channels);
  check_classifier("levels", options.levels);
  check_classifier("features", options.features);
  int64_t channels = options.channels;
  stem_ = register_module("stem", halving(options.image_shape[0], channels));
  for (int64_t level = 0; level < options.levels; ++level) {
    const std::string number = std::to_string(level);
    if (level > 0) {
      shrink_.push_back(register_module("shrink" + number, halving(channels, 2 * channels)));
      channels *= 2;
    }
    blocks_.push_back(
        register_module("block" + number, std::make_shared<nets::ResidualBlock>(channels, 0)));
  }
  features_ = register_module("features", torch::nn::Linear(channels, options.features));
  logits_ = register_module("logits", torch::nn::Linear(options.features, options.num_classes));
}

Classifier::Output Classifier::forward(const at::Tensor& x) {
  const auto& shape = options_.image_shape;
  base::check_shape(kClassifierWhere, "x", x, {-1, shape[0] * shape[1] * shape[2]});
  at::Tensor h = ((x - kCentre) / kSpread)
                     .view({-1, shape[0], shape[1], shape[2]})
                     .contiguous(at::MemoryFormat::ChannelsLast);
  h = stem_->forward(h);
  for (size_t level = 0; level < blocks_.size(); ++level) {
    if (level > 0) h = shrink_[level - 1]->forward(at::silu(h));
    h = blocks_[level]->forward(h, {});
  }
  Output output;
  output.features = at::silu(features_->forward(at::silu(h).mean({2, 3})));
  output.logits = logits_->forward(output.features);
  return output;
}

}  // namespace scorejet::reproduce
