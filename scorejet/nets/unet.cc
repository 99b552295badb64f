#include "scorejet/nets/unet.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <torch/nn/init.h>

#include <numbers>

#include "scorejet/base/error.h"
#include "scorejet/nets/mixed_maps.h"
#include "scorejet/nets/pixel_maps.h"

namespace scorejet::nets {
namespace {

constexpr int64_t kConditionWidth = 64;
constexpr int64_t kSharedMaps = 15;  // that a factor's columns are mixed from; one more: diagonal
constexpr int64_t kWaves = 4;        // along each side, that tell a column's coefficients where
constexpr double kBlockScale = 0.2;  // of the default initialisation of a block's last convolution

torch::nn::Conv2d conv3x3(int64_t in, int64_t out) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1));
}

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
      !at::globalContext().userEnabledMkldnn()) {
    return layer->forward(x);
  }
  return at::mkldnn_convolution(x, layer->weight, layer->bias, {0, 0}, {1, 1}, {1, 1}, 1);
}

}  // namespace

ResidualBlock::ResidualBlock(int64_t channels, int64_t condition_width) {
  first_ = register_module("first", conv3x3(channels, channels));
  second_ = register_module("second", conv3x3(channels, channels));
  if (condition_width > 0) {
    condition_ = register_module("condition", torch::nn::Linear(condition_width, 2 * channels));
  }
  at::NoGradGuard no_grad;
  second_->weight.mul_(kBlockScale);
}

at::Tensor ResidualBlock::forward(const at::Tensor& x, const at::Tensor& condition) {
  at::Tensor h = first_->forward(at::silu(x));
  if (condition_) {
    const auto maps = condition_->forward(condition).unsqueeze(-1).unsqueeze(-1).chunk(2, 1);
    h = at::addcmul(maps[1], h, 1 + maps[0]);
  }
  return x + second_->forward(at::silu(h));
}

UNetTrunk::UNetTrunk(const NetworkOptions& options) {
  embedding_ = register_module("embedding", std::make_shared<NoiseEmbedding>(kConditionWidth));
  const int64_t folded = options.image_shape[0] * options.patch * options.patch;
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

UNet::UNet(const NetworkOptions& options) : options_(options) {
  trunk_ = register_module("trunk", std::make_shared<UNetTrunk>(options));
  const int64_t folded = options.image_shape[0] * options.patch * options.patch;
  if (options.first) {
    s1_ = register_module("s1", conv3x3(options.channels, folded));
    torch::nn::init::zeros_(s1_->weight);  // start from the preconditioner's own denoiser
  }
  if (options.hessian == Hessian::kNone) return;
  if (!options.share_trunk && options.first) {
    second_trunk_ = register_module("s2_trunk", std::make_shared<UNetTrunk>(options));
  }
  if (options.hessian == Hessian::kDiagonal) {
    diagonal_ = register_module("s2_diagonal", conv3x3(options.channels, folded));
  } else {
    const int64_t channels = options.channels;
    factor_maps_ = register_module("s2_maps", conv3x3(channels, folded * (1 + kSharedMaps)));
    factor_shrink_ = register_module(
        "s2_shrink",
        torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, channels, 3).stride(2).padding(1)));
    place_rows_ = coarse_cells(options.image_shape[1], options.patch);
    place_cells_ = coarse_cells(options.image_shape[2], options.patch);
    place_ = waves_at(at::kFloat);
    factor_place_ = register_module(
        "s2_place",
        torch::nn::Conv2d(torch::nn::Conv2dOptions(kWaves * kWaves, channels, 1).bias(false)));
    factor_block_ = register_module("s2_block", std::make_shared<ResidualBlock>(channels, 0));
    factor_mixing_ = register_module(
        "s2_mixing",
        torch::nn::Conv2d(
            torch::nn::Conv2dOptions(channels, kSharedMaps * options.rank, 1).bias(false)));
    factor_gain_ = register_module("s2_gain", torch::nn::Linear(channels, 1));
    zero_parameters(*factor_gain_);
  }
  // Last, so that orders one and two start from the same weights with it and without.
  if (options.third == Third::kNone) return;
  if (!options.share_trunk) {
    third_trunk_ = register_module("s3_trunk", std::make_shared<UNetTrunk>(options));
  }
  third_diagonal_ = register_module("s3_diagonal", conv3x3(options.channels, folded));
  zero_parameters(*third_diagonal_);
  if (options.third != Third::kLowRank) return;
  third_weights_ =
      register_module("s3_weights", torch::nn::Linear(options.channels, options.third_rank));
  third_block_ = register_module("s3_block", std::make_shared<ResidualBlock>(options.channels, 0));
  third_factor_ =
      register_module("s3_factor", conv3x3(options.channels, folded * options.third_rank));
  zero_parameters(*third_weights_);  // s3 starts at zero, but not the way to its gradient
}

std::shared_ptr<Network> UNet::resized(int64_t height, int64_t width) const {
  const int64_t stride = image_stride(options_);
  if (height < 1 || width < 1 || height % stride != 0 || width % stride != 0) {
    base::fail_argument("nets::resized",
                        "image height and width must be multiples of {}; got {} x {}", stride,
                        height, width);
  }
  const auto copy = std::make_shared<UNet>(*this);  // a module's copy shares what it holds
  copy->options_.image_shape = {options_.image_shape[0], height, width};
  copy->options_.dim = options_.image_shape[0] * height * width;
  if (factor_place_) copy->place_ = copy->waves_at(at::kFloat);
  return copy;
}

Network::Features UNet::features(const at::Tensor& x, const at::Tensor& noise, int order) {
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
  const auto& shape = options_.image_shape;
  return at::pixel_unshuffle(x.view({-1, shape[0], shape[1], shape[2]}), options_.patch)
      .contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor UNet::unfold(const at::Tensor& maps) const {
  return pixels_of(maps, options_.patch).flatten(1);
}

at::Tensor UNet::unfold_columns(const at::Tensor& maps, int64_t rank) const {
  return unfold(maps).view({maps.size(0), rank, options_.dim}).transpose(1, 2);
}

at::Tensor UNet::waves_at(const at::TensorOptions& options) const {
  return place_waves(coarse_cells(options_.image_shape[1], options_.patch),
                     coarse_cells(options_.image_shape[2], options_.patch), place_rows_,
                     place_cells_, options);
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
  outputs.factor = mixed_maps(mixing, shared, options_.rank, options_.patch)
                       .view({maps.size(0), options_.rank, options_.dim})
                       .transpose(1, 2);
  return outputs;
}

ThirdOutputs UNet::third_head(const at::Tensor& features) {
  ThirdOutputs outputs;
  outputs.diagonal = unfold(third_diagonal_->forward(features));
  if (!third_factor_) return outputs;
  outputs.weights = third_weights_->forward(features.mean({2, 3}));
  outputs.factor = unfold_columns(third_factor_->forward(third_block_->forward(features, {})),
                                  options_.third_rank);
  return outputs;
}

}  // namespace scorejet::nets
