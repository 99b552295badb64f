// A small convolutional classifier of images: a stem of stride 2, then residual blocks at halving
// resolutions, the mean over the image, a layer of features, a linear layer. The blocks are those
// of the U-Net, which start near the identity and need no normalisation.
#pragma once

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "src/nets/residual_block.h"

namespace scorejet::reproduce {

struct ClassifierOptions {
  std::vector<int64_t> image_shape;  // {channels, height, width}
  int64_t num_classes = 10;
  int64_t channels = 32;  // at the finest level, doubled at each of the others
  int64_t levels = 3;     // resolutions, from half the image's down
  int64_t features = 64;
};

class Classifier : public torch::nn::Module {
 public:
  // Errors: std::invalid_argument for a shape that is no image's, or a size < 1.
  explicit Classifier(const ClassifierOptions& options);

  struct Output {
    at::Tensor logits;    // [B, K]
    at::Tensor features;  // [B, F], what the logits are linear in
  };
  // Shapes: x [B, D], images in [0, 1]. Cost: about 17 M multiplications a 32 x 32 image.
  Output forward(const at::Tensor& x);

 private:
  ClassifierOptions options_;
  torch::nn::Conv2d stem_{nullptr};
  std::vector<std::shared_ptr<nets::ResidualBlock>> blocks_;
  std::vector<torch::nn::Conv2d> shrink_;  // before each block but the first
  torch::nn::Linear features_{nullptr}, logits_{nullptr};
};

}  // namespace scorejet::reproduce
