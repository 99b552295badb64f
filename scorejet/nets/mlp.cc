#include "scorejet/nets/mlp.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <algorithm>
#include <cmath>

namespace scorejet::nets {

namespace {

// Sparse start of the input layer: a unit sees a few coordinates only, each coordinate at least
// four units, with thresholds all over the data. Functions of single coordinates are then learned
// at once, which dense rows find late or never (in D dimensions a dense unit's correlation with a
// degree-n function of one coordinate is of order D^(−n/2)). See: Martens 2010, section 5.
void start_sparse(const torch::nn::Linear& layer) {
  constexpr int64_t kUnitsPerCoordinate = 4;
  at::NoGradGuard no_grad;
  at::Tensor weight = layer->weight;  // [width, inputs]
  const int64_t width = weight.size(0), inputs = weight.size(1);
  const int64_t count =
      std::min(inputs, (kUnitsPerCoordinate * inputs + width - 1) / width);  // a unit's coordinates
  weight.zero_();
  for (int64_t k = 0; k < count; ++k) {
    const at::Tensor column =
        (at::arange(width) + k * (inputs / count)).remainder(inputs).unsqueeze(1);
    weight.scatter_(1, column, at::randn({width, 1}) / std::sqrt(static_cast<double>(count)));
  }
  layer->bias.normal_();
}

}  // namespace

MlpTrunk::MlpTrunk(int64_t dim, int64_t width, int64_t depth) {
  embedding_ = register_module("embedding", std::make_shared<NoiseEmbedding>(64));
  input_ = register_module("input", torch::nn::Linear(dim, width));
  start_sparse(input_);
  for (int64_t i = 0; i < depth; ++i) {
    const std::string number = std::to_string(i);
    layers_.push_back(register_module("layer" + number, torch::nn::Linear(width, width)));
    conditions_.push_back(register_module("condition" + number, torch::nn::Linear(64, width)));
  }
}

at::Tensor MlpTrunk::forward(const at::Tensor& x, const at::Tensor& noise) {
  const at::Tensor condition = embedding_->forward(noise);
  at::Tensor h = input_->forward(x);
  for (size_t i = 0; i < layers_.size(); ++i) {
    h = h + layers_[i]->forward(at::silu(h + conditions_[i]->forward(condition)));
  }
  return at::silu(h);
}

Mlp::Mlp(const NetworkOptions& options) : options_(options) {
  const auto make_trunk = [&](int64_t inputs) {
    return std::make_shared<MlpTrunk>(inputs, options.width, options.depth);
  };
  trunk_ = register_module("trunk", make_trunk(options.dim));
  s1_ = register_module("s1", torch::nn::Linear(options.width, options.dim));
  torch::nn::init::zeros_(s1_->weight);  // start from the preconditioner's own denoiser
  if (options.hessian == Hessian::kNone) return;
  if (!options.share_trunk) {
    second_trunk_ = register_module("s2_trunk", make_trunk(options.dim + options.width));
  }
  if (options.hessian != Hessian::kFull) {
    diagonal_ = register_module("s2_diagonal", torch::nn::Linear(options.width, options.dim));
  }
  if (options.hessian != Hessian::kDiagonal) {
    const int64_t columns = options.hessian == Hessian::kFull ? options.dim : options.rank;
    factor_ = register_module("s2_factor", torch::nn::Linear(options.width, options.dim * columns));
  }
}

Network::Features Mlp::features(const at::Tensor& x, const at::Tensor& noise, int order) {
  const at::Tensor first = trunk_->forward(x, noise);
  if (order < 2) return {first, {}};
  if (!second_trunk_) return {first, first};
  return {first, second_trunk_->forward(at::cat({x, first.detach()}, 1), noise)};
}

at::Tensor Mlp::first_head(const at::Tensor& features) { return s1_->forward(features); }

HessianOutputs Mlp::second_head(const at::Tensor& features) {
  HessianOutputs outputs;
  if (diagonal_) outputs.diagonal = diagonal_->forward(features);
  if (factor_) {
    // A step of Adam moves every weight of a row, so an output by up to rate · width · |features|:
    // without this scale the factor, which enters squared, is the first to diverge.
    const double scale = 4 / std::sqrt(static_cast<double>(options_.width));
    outputs.factor =
        scale *
        factor_->forward(features).view(
            {-1, options_.dim, options_.hessian == Hessian::kFull ? options_.dim : options_.rank});
  }
  return outputs;
}

}  // namespace scorejet::nets
