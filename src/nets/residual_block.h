// The residual block of the networks for images: the U-Net's and the classifier's.
#pragma once

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

namespace scorejet::nets {

// A 3 x 3 convolution that keeps the size.
torch::nn::Conv2d conv3x3(int64_t in, int64_t out);

// x + conv(silu((1 + γ) conv(silu(x)) + β)), a gain γ and a shift β for each channel from σ (Perez
// et al. 2018). The last convolution starts small, so that a deep stack starts near the identity
// and needs no normalisation.
class ResidualBlock : public torch::nn::Module {
 public:
  ResidualBlock(int64_t channels, int64_t condition_width);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& condition);

 private:
  torch::nn::Conv2d first_{nullptr}, second_{nullptr};
  torch::nn::Linear condition_{nullptr};  // null when condition_width is 0
};

}  // namespace scorejet::nets
