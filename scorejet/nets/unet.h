// The network for images: a small residual U-Net on folded pixels (patch x patch pixels become
// channels, so that the finest level works at reduced resolution), no normalisation layers,
// channels-last convolutions. The s2 head emits the diagonal as one map, and makes each of the r
// factor columns as a mixture of a few shared maps (mixed_maps.h). The mixing weights come from a
// half-resolution map plus a positional encoding, so they vary over the image.
#pragma once

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "scorejet/nets/network.h"
#include "scorejet/nets/noise_embedding.h"

namespace scorejet::nets {

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

class UNetTrunk : public torch::nn::Module {
 public:
  explicit UNetTrunk(const NetworkOptions& options);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& noise);  // x [B, c, h, w]

 private:
  using Blocks = std::vector<std::shared_ptr<ResidualBlock>>;
  Blocks make_blocks(const std::string& name, int64_t count, int64_t channels);

  std::shared_ptr<NoiseEmbedding> embedding_;
  torch::nn::Conv2d input_{nullptr};
  std::vector<Blocks> down_, up_;
  Blocks bottom_;
  std::vector<torch::nn::Conv2d> shrink_, widen_;
};

class UNet : public Network {
 public:
  explicit UNet(const NetworkOptions& options);
  Features features(const at::Tensor& x, const at::Tensor& noise, int order) override;
  at::Tensor first_head(const at::Tensor& features) override;
  HessianOutputs second_head(const at::Tensor& features) override;
  at::Tensor third_features(const at::Tensor& x, const at::Tensor& noise) override;
  ThirdOutputs third_head(const at::Tensor& features) override;
  std::shared_ptr<Network> resized(int64_t height, int64_t width) const override;

 private:
  // Channels of factor maps run over (rank, colour, patch²), so that after unfolding each of the r
  // columns is an image. [B, D, r]
  at::Tensor unfold_columns(const at::Tensor& maps, int64_t rank) const;
  at::Tensor unfold(const at::Tensor& maps) const;              // [B, D]
  at::Tensor fold(const at::Tensor& x) const;                   // [B, D] to maps, channels last
  at::Tensor waves_at(const at::TensorOptions& options) const;  // where each coefficient is

  NetworkOptions options_;
  std::shared_ptr<UNetTrunk> trunk_, second_trunk_, third_trunk_;  // the latter null when shared
  torch::nn::Conv2d s1_{nullptr}, diagonal_{nullptr};
  torch::nn::Conv2d factor_maps_{
      nullptr};  // the diagonal's, then those that columns are mixed from
  torch::nn::Conv2d factor_shrink_{nullptr}, factor_place_{nullptr},
      factor_mixing_{nullptr};                // to their coefficients
  int64_t place_rows_ = 0, place_cells_ = 0;  // of the coefficients at the trained size
  at::Tensor place_;                          // waves_at() of float32 on the CPU
  std::shared_ptr<ResidualBlock> factor_block_;
  torch::nn::Linear factor_gain_{nullptr};  // ln of their common size
  torch::nn::Conv2d third_diagonal_{nullptr}, third_factor_{nullptr};
  std::shared_ptr<ResidualBlock> third_block_;
  torch::nn::Linear third_weights_{nullptr};  // from the features' mean over the image
};

}  // namespace scorejet::nets
