// How a network is told σ: sines and cosines of ln(σ)/4, through one hidden layer.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

namespace scorejet::nets {

// Shapes: noise [B] (ln(σ)/4) -> [B, width].
class NoiseEmbedding : public torch::nn::Module {
 public:
  explicit NoiseEmbedding(int64_t width);
  at::Tensor forward(const at::Tensor& noise);

 private:
  torch::nn::Linear first_{nullptr}, second_{nullptr};
};

}  // namespace scorejet::nets
