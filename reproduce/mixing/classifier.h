// The judge of experiments on images: a small classifier, trained by the tool itself, that says
// which class an image (of a chain, say) belongs to. It is trained on what it will be shown: an
// experiment that shows it denoised images passes their making as `distort`.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "reproduce/mixing/image_classifier.h"
#include "scorejet/dataset.h"

namespace scorejet::reproduce {

// Images [B, D] in [0, 1] to images [B, D]; all randomness from the generator.
using Distortion = std::function<at::Tensor(const at::Tensor& x, at::Generator generator)>;

struct JudgeOptions {
  ClassifierOptions network;  // image_shape and num_classes are those of the data
  int64_t steps = 2500;
  int64_t batch = 128;
  double learning_rate = 2e-3;
  double ema = 0.995;
  int64_t max_shift = 2;  // pixels each image is moved by at random, up and down, left and right
  bool flip = false;      // mirror half the images
  Distortion distort;     // applied to each batch, before it is moved; none when empty
  std::string distortion = "none";  // names what `distort` does, and all that it depends on
  uint64_t seed = 0;
};

// What the judge says of N images.
struct Verdict {
  at::Tensor label;       // [N], int64: the likeliest class
  at::Tensor confidence;  // [N], its probability
  at::Tensor entropy;     // [N], of the classes' probabilities, nats
  at::Tensor features;    // [N, F], the layer before the logits
};

class Judge {
 public:
  // The judge saved at `path` if it was trained as `options` say on a data set of that name and
  // size; otherwise trains one by Adam, batches a function of (seed, step), and saves it there.
  // Errors: std::runtime_error when `train` has no labels (and the command that fetches them), when
  // the loss is not finite (naming the step), and for a file at `path` that holds no judge, which
  // is left alone; std::invalid_argument for vectors instead of images.
  static Judge train_or_load(const data::Dataset& train, const JudgeOptions& options,
                             const std::filesystem::path& path);

  // Shapes: images [N, D] in [0, 1]. No gradients are kept. Cost: memory for 500 images at a time.
  Verdict classify(const at::Tensor& images) const;
  // The share of images whose likeliest class is their label, [N] int64.
  double accuracy(const at::Tensor& images, const at::Tensor& labels) const;

 private:
  explicit Judge(std::shared_ptr<Classifier> network) : network_(std::move(network)) {}

  std::shared_ptr<Classifier> network_;
};

// Each image moved by up to `max_shift` pixels either way, its edge repeated, and, if `flip`,
// mirrored with probability 1/2. Shapes: x [B, C, H, W].
at::Tensor shift_and_flip(const at::Tensor& x, int64_t max_shift, bool flip,
                          at::Generator generator);

}  // namespace scorejet::reproduce
