#include "src/nets/noise_embedding.h"

#include <ATen/ATen.h>

namespace scorejet::nets {
namespace {
constexpr int64_t kFrequencies = 8;  // periods from 2π down to 2π/128 in units of ln(σ)/4
}

NoiseEmbedding::NoiseEmbedding(int64_t width) {
  first_ = register_module("first", torch::nn::Linear(2 * kFrequencies, width));
  second_ = register_module("second", torch::nn::Linear(width, width));
}

at::Tensor NoiseEmbedding::forward(const at::Tensor& noise) {
  const at::Tensor frequencies = at::exp2(at::arange(kFrequencies, noise.options()));
  const at::Tensor angles = noise.unsqueeze(-1) * frequencies;
  const at::Tensor waves = at::cat({angles.sin(), angles.cos()}, -1);
  return at::silu(second_->forward(at::silu(first_->forward(waves))));
}

}  // namespace scorejet::nets
