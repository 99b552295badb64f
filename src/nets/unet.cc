// The network for images: a small residual U-Net on folded pixels (patch x patch pixels become
// channels, so that the finest level works at reduced resolution), no normalisation layers,
// channels-last convolutions. The s2 head emits the diagonal as one map, and makes each of the r
// factor columns as a mixture of a few shared maps (mixed_maps.h). The mixing weights come from a
// half-resolution map plus a positional encoding, so they vary over the image.
#include "scorejet/network_options.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <torch/nn/init.h>

#include <numbers>

#include "src/base/error.h"
#include "src/base/fast_paths.h"
#include "src/nets/mixed_maps.h"
#include "src/nets/network.h"
#include "src/nets/noise_embedding.h"
#include "src/nets/pixel_maps.h"
#include "src/nets/residual_block.h"

namespace scorejet::nets {
namespace {

constexpr int64_t kConditionWidth = 64;
constexpr int64_t kSharedMaps = 15;  // that a factor's columns are mixed from; one more: diagonal
constexpr int64_t kWaves = 4;        // along each side, that tell a column's coefficients where

// Cells of the coefficients along a side of so many pixels.
int64_t coarse_cells(int64_t pixels, int64_t patch) { return (pixels / patch + 1) / 2; }

// cos(π a y) cos(π b x) for a, b < kWaves at every cell of a map, y and x from 0 to 1 across a map
// of the trained size; one that is larger has it mirrored, one that is smaller a part of it.
// [1, kWaves², h, w]
at::Tensor place_waves(int64_t rows, int64_t cells, int64_t trained_rows, int64_t trained_cells,
                       const at::TensorOptions& options) {
  const auto waves = [&](int64_t size, int64_t trained) {  // [kWaves, size]
    const at::Tensor at = (at::arange(size, options) + 0.5) / static_cast<double>(trained);
    return at::cos(at::arange(kWaves, options).unsqueeze(-1) * (std::numbers::pi * at));
  };
  return (waves(rows, trained_rows).view({kWaves, 1, rows, 1}) *
          waves(cells, trained_cells).view({1, kWaves, 1, cells}))
      .view({1, kWaves * kWaves, rows, cells})
      .contiguous(at::MemoryFormat::ChannelsLast);
}

// A 1 x 1 convolution by oneDNN. On one thread LibTorch hands that of a few images to the BLAS,
// which takes several times longer.
at::Tensor pointwise(torch::nn::Conv2d layer, const at::Tensor& x) {
  if (!x.device().is_cpu() || x.scalar_type() != at::kFloat || !at::hasMKLDNN() ||
      !at::globalContext().userEnabledMkldnn() || !base::fast(base::FastPath::kPointwise)) {
    return layer->forward(x);
  }
  return at::mkldnn_convolution(x, layer->weight, layer->bias, {0, 0}, {1, 1}, {1, 1}, 1);
}

int64_t stride_of(const UNetOptions& options) { return options.patch << (options.levels - 1); }

class UNetTrunk : public torch::nn::Module {
 public:
  UNetTrunk(int64_t colours, const UNetOptions& options);
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

class UNet : public Network, public Resizable {
 public:
  UNet(const NetworkShape& shape, const UNetOptions& options);
  Features features(const at::Tensor& x, const at::Tensor& noise, int order) override;
  at::Tensor first_head(const at::Tensor& features) override;
  HessianOutputs second_head(const at::Tensor& features) override;
  at::Tensor third_features(const at::Tensor& x, const at::Tensor& noise) override;
  ThirdOutputs third_head(const at::Tensor& features) override;
  int64_t stride() const override { return stride_of(options_); }
  std::shared_ptr<Network> resized(int64_t height, int64_t width) const override;

 private:
  // Channels of factor maps run over (rank, colour, patch²), so that after unfolding each of the r
  // columns is an image. [B, D, r]
  at::Tensor unfold_columns(const at::Tensor& maps, int64_t rank) const;
  at::Tensor unfold(const at::Tensor& maps) const;              // [B, D]
  at::Tensor fold(const at::Tensor& x) const;                   // [B, D] to maps, channels last
  at::Tensor waves_at(const at::TensorOptions& options) const;  // where each coefficient is

  NetworkShape shape_;
  UNetOptions options_;
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

UNetTrunk::UNetTrunk(int64_t colours, const UNetOptions& options) {
  embedding_ = register_module("embedding", std::make_shared<NoiseEmbedding>(kConditionWidth));
  const int64_t folded = colours * options.patch * options.patch;
  input_ = register_module("input", conv3x3(folded, options.channels));
  int64_t channels = options.channels;
  for (int64_t level = 0; level + 1 < options.levels; ++level) {
    const std::string number = std::to_string(level);
    down_.push_back(make_blocks("down" + number, options.blocks, channels));
    up_.push_back(make_blocks("up" + number, options.blocks, channels));
    shrink_.push_back(register_module(
        "shrink" + number,
        torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, 2 * channels, 2).stride(2))));
    widen_.push_back(register_module(
        "widen" + number, torch::nn::Conv2d(torch::nn::Conv2dOptions(2 * channels, channels, 1))));
    channels *= 2;
  }
  bottom_ = make_blocks("bottom", options.blocks + 1, channels);
}

UNetTrunk::Blocks UNetTrunk::make_blocks(const std::string& name, int64_t count, int64_t channels) {
  Blocks blocks;
  for (int64_t i = 0; i < count; ++i) {
    blocks.push_back(register_module(name + "_" + std::to_string(i),
                                     std::make_shared<ResidualBlock>(channels, kConditionWidth)));
  }
  return blocks;
}

at::Tensor UNetTrunk::forward(const at::Tensor& x, const at::Tensor& noise) {
  const at::Tensor condition = embedding_->forward(noise);
  const auto run = [&](const Blocks& blocks, at::Tensor h) {
    for (const auto& block : blocks) h = block->forward(h, condition);
    return h;
  };
  at::Tensor h = input_->forward(x);
  std::vector<at::Tensor> skips;
  for (size_t level = 0; level < down_.size(); ++level) {
    h = run(down_[level], h);
    skips.push_back(h);
    h = shrink_[level]->forward(h);
  }
  h = run(bottom_, h);
  for (size_t level = down_.size(); level-- > 0;) {
    // 1x1 convolution first: it commutes with nearest-neighbour upsampling and is four times
    // cheaper before it.
    h = skips[level] + at::upsample_nearest2d(pointwise(widen_[level], h),
                                              {skips[level].size(2), skips[level].size(3)});
    h = run(up_[level], h);
  }
  return at::silu(h);
}

UNet::UNet(const NetworkShape& shape, const UNetOptions& options)
    : shape_(shape), options_(options) {
  trunk_ = register_module("trunk", std::make_shared<UNetTrunk>(shape.image_shape[0], options));
  const int64_t folded = shape.image_shape[0] * options.patch * options.patch;
  if (shape.first) {
    s1_ = register_module("s1", conv3x3(options.channels, folded));
    torch::nn::init::zeros_(s1_->weight);  // start from the preconditioner's own denoiser
  }
  if (shape.s2 == Structure::kNone) return;
  if (!shape.share_trunk && shape.first) {
    second_trunk_ =
        register_own(2, "s2_trunk", std::make_shared<UNetTrunk>(shape.image_shape[0], options));
  }
  if (shape.s2 == Structure::kDiagonal) {
    diagonal_ = register_own(2, "s2_diagonal", conv3x3(options.channels, folded));
  } else {
    const int64_t channels = options.channels;
    factor_maps_ = register_own(2, "s2_maps", conv3x3(channels, folded * (1 + kSharedMaps)));
    factor_shrink_ = register_own(
        2, "s2_shrink",
        torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, channels, 3).stride(2).padding(1)));
    place_rows_ = coarse_cells(shape.image_shape[1], options.patch);
    place_cells_ = coarse_cells(shape.image_shape[2], options.patch);
    place_ = waves_at(at::kFloat);
    factor_place_ = register_own(
        2, "s2_place",
        torch::nn::Conv2d(torch::nn::Conv2dOptions(kWaves * kWaves, channels, 1).bias(false)));
    factor_block_ = register_own(2, "s2_block", std::make_shared<ResidualBlock>(channels, 0));
    factor_mixing_ = register_own(
        2, "s2_mixing",
        torch::nn::Conv2d(
            torch::nn::Conv2dOptions(channels, kSharedMaps * shape.rank, 1).bias(false)));
    factor_gain_ = register_own(2, "s2_gain", torch::nn::Linear(channels, 1));
    zero_parameters(*factor_gain_);
  }
  // Last, so that orders one and two start from the same weights with it and without.
  if (shape.s3 == Structure::kNone) return;
  if (!shape.share_trunk) {
    third_trunk_ =
        register_own(3, "s3_trunk", std::make_shared<UNetTrunk>(shape.image_shape[0], options));
  }
  third_diagonal_ = register_own(3, "s3_diagonal", conv3x3(options.channels, folded));
  zero_parameters(*third_diagonal_);
  if (shape.s3 != Structure::kLowRank) return;
  third_weights_ =
      register_own(3, "s3_weights", torch::nn::Linear(options.channels, shape.s3_rank));
  third_block_ = register_own(3, "s3_block", std::make_shared<ResidualBlock>(options.channels, 0));
  third_factor_ = register_own(3, "s3_factor", conv3x3(options.channels, folded * shape.s3_rank));
  zero_parameters(*third_weights_);  // s3 starts at zero, but not the way to its gradient
}

std::shared_ptr<Network> UNet::resized(int64_t height, int64_t width) const {
  const int64_t stride = stride_of(options_);
  if (height < 1 || width < 1 || height % stride != 0 || width % stride != 0) {
    base::fail_argument("nets::resized",
                        "image height and width must be multiples of {}; got {} x {}", stride,
                        height, width);
  }
  const auto copy = std::make_shared<UNet>(*this);  // a module's copy shares what it holds
  copy->shape_.image_shape = {shape_.image_shape[0], height, width};
  copy->shape_.dim = shape_.image_shape[0] * height * width;
  if (factor_place_) copy->place_ = copy->waves_at(at::kFloat);
  return copy;
}

Features UNet::features(const at::Tensor& x, const at::Tensor& noise, int order) {
  const at::Tensor image = fold(x);
  Features result;
  result.first = trunk_->forward(image, noise);
  if (order >= 2)
    result.second = second_trunk_ ? second_trunk_->forward(image, noise) : result.first;
  if (order >= 3) result.third = third_trunk_ ? third_trunk_->forward(image, noise) : result.first;
  return result;
}

at::Tensor UNet::third_features(const at::Tensor& x, const at::Tensor& noise) {
  return (third_trunk_ ? third_trunk_ : trunk_)->forward(fold(x), noise);
}

at::Tensor UNet::fold(const at::Tensor& x) const {
  const auto& shape = shape_.image_shape;
  return at::pixel_unshuffle(x.view({-1, shape[0], shape[1], shape[2]}), options_.patch)
      .contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor UNet::unfold(const at::Tensor& maps) const {
  return pixels_of(maps, options_.patch).flatten(1);
}

at::Tensor UNet::unfold_columns(const at::Tensor& maps, int64_t rank) const {
  return unfold(maps).view({maps.size(0), rank, shape_.dim}).transpose(1, 2);
}

at::Tensor UNet::waves_at(const at::TensorOptions& options) const {
  return place_waves(coarse_cells(shape_.image_shape[1], options_.patch),
                     coarse_cells(shape_.image_shape[2], options_.patch), place_rows_, place_cells_,
                     options);
}

at::Tensor UNet::first_head(const at::Tensor& features) { return unfold(s1_->forward(features)); }

HessianOutputs UNet::second_head(const at::Tensor& features) {
  HessianOutputs outputs;
  if (diagonal_) {
    outputs.diagonal = unfold(diagonal_->forward(features));
    return outputs;
  }
  const at::Tensor maps = factor_maps_->forward(features);
  const int64_t folded = maps.size(1) / (1 + kSharedMaps);
  outputs.diagonal = unfold(maps.narrow(1, 0, folded));
  // Which column is to stand for what is uncertain here, so that not all of them are everywhere.
  const at::Tensor cells = factor_shrink_->forward(features);
  const bool kept = cells.device().is_cpu() && cells.scalar_type() == at::kFloat;
  const at::Tensor placed =
      cells + pointwise(factor_place_, kept ? place_ : waves_at(cells.options()));
  const at::Tensor coarse = at::silu(factor_block_->forward(placed, {}));
  // How large a factor is is one number, that need not be unlearned and learned in every column.
  const at::Tensor gain = factor_gain_->forward(coarse.mean({2, 3})).exp();
  const at::Tensor mixing = pointwise(factor_mixing_, coarse * gain.view({-1, 1, 1, 1}));
  const at::Tensor shared = maps.narrow(1, folded, maps.size(1) - folded);
  outputs.factor = mixed_maps(mixing, shared, shape_.rank, options_.patch)
                       .view({maps.size(0), shape_.rank, shape_.dim})
                       .transpose(1, 2);
  return outputs;
}

ThirdOutputs UNet::third_head(const at::Tensor& features) {
  ThirdOutputs outputs;
  outputs.diagonal = unfold(third_diagonal_->forward(features));
  if (!third_factor_) return outputs;
  outputs.weights = third_weights_->forward(features.mean({2, 3}));
  outputs.factor =
      unfold_columns(third_factor_->forward(third_block_->forward(features, {})), shape_.s3_rank);
  return outputs;
}

}  // namespace

std::shared_ptr<Network> UNetOptions::make(const NetworkShape& shape) const {
  constexpr const char* kMakeUNet = "nets::make_network";
  constexpr int64_t kMaxLevels = 16;
  if (levels > kMaxLevels) {
    base::fail_argument(kMakeUNet, "model.levels must be at most {}; got {}", kMaxLevels, levels);
  }
  if (shape.image_shape.size() != 3) {
    base::fail_argument(kMakeUNet, "a unet needs images; got vectors of {} numbers (use mlp)",
                        shape.dim);
  }
  if (shape.s2 == Structure::kFull || shape.s3 == Structure::kFull) {
    base::fail_argument(kMakeUNet, "model.{} = \"full\" needs an mlp; got unet",
                        shape.s2 == Structure::kFull ? "s2" : "s3");
  }
  const int64_t stride = stride_of(*this);
  if (shape.image_shape[1] % stride != 0 || shape.image_shape[2] % stride != 0) {
    base::fail_argument(kMakeUNet,
                        "image height and width must be multiples of patch * 2^(levels-1) = {}; "
                        "got {} x {}",
                        stride, shape.image_shape[1], shape.image_shape[2]);
  }
  return std::make_shared<UNet>(shape, *this);
}

}  // namespace scorejet::nets
