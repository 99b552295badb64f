// The network for vectors: residual hidden layers with σ added to each, linear heads. With trunks
// of their own each order's sees, beside x, the features of the orders below: they already know
// where the density turns, and what is learned of them comes from the quieter loss. (Training keeps
// the higher order's gradient from them.)
#include "scorejet/network_options.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <cmath>

#include "src/nets/direct_linear.h"
#include "src/nets/network.h"
#include "src/nets/noise_embedding.h"

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

class MlpTrunk : public torch::nn::Module {
 public:
  MlpTrunk(int64_t dim, int64_t width, int64_t depth);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& noise);

 private:
  std::shared_ptr<NoiseEmbedding> embedding_;
  torch::nn::Linear input_{nullptr};
  std::vector<torch::nn::Linear> layers_, conditions_;
};

class Mlp : public Network {
 public:
  Mlp(const NetworkShape& shape, const MlpOptions& options);
  Features features(const at::Tensor& x, const at::Tensor& noise, int order) override;
  at::Tensor first_head(const at::Tensor& features) override;
  HessianOutputs second_head(const at::Tensor& features) override;
  at::Tensor third_features(const at::Tensor& x, const at::Tensor& noise) override;
  ThirdOutputs third_head(const at::Tensor& features) override;

 private:
  NetworkShape shape_;
  int64_t width_;
  std::shared_ptr<MlpTrunk> trunk_, second_trunk_, third_trunk_;  // the latter null when shared
  torch::nn::Linear s1_{nullptr}, diagonal_{nullptr}, factor_{nullptr};
  torch::nn::Linear third_diagonal_{nullptr}, third_weights_{nullptr}, third_factor_{nullptr},
      third_entries_{nullptr};
};

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

Mlp::Mlp(const NetworkShape& shape, const MlpOptions& options)
    : shape_(shape), width_(options.width) {
  const auto make_trunk = [&](int64_t inputs) {
    return std::make_shared<MlpTrunk>(inputs, options.width, options.depth);
  };
  trunk_ = register_module("trunk", make_trunk(shape.dim));
  if (shape.first) {
    s1_ = register_module("s1", torch::nn::Linear(options.width, shape.dim));
    torch::nn::init::zeros_(s1_->weight);  // start from the preconditioner's own denoiser
  }
  if (shape.s2 == Structure::kNone) return;
  if (!shape.share_trunk && shape.first) {
    second_trunk_ = register_own(2, "s2_trunk", make_trunk(shape.dim + options.width));
  }
  if (shape.s2 != Structure::kFull) {
    diagonal_ = register_own(2, "s2_diagonal", torch::nn::Linear(options.width, shape.dim));
  }
  if (shape.s2 != Structure::kDiagonal) {
    const int64_t columns = shape.s2 == Structure::kFull ? shape.dim : shape.rank;
    factor_ = register_own(2, "s2_factor", torch::nn::Linear(options.width, shape.dim * columns));
  }
  // Last, so that orders one and two start from the same weights with it and without.
  if (shape.s3 == Structure::kNone) return;
  if (!shape.share_trunk) {
    const int64_t below = second_trunk_ ? 2 : 1;
    third_trunk_ = register_own(3, "s3_trunk", make_trunk(shape.dim + below * options.width));
  }
  if (shape.s3 == Structure::kFull) {
    const int64_t d = shape.dim;
    third_entries_ =
        register_own(3, "s3_entries", torch::nn::Linear(options.width, d * (d + 1) * (d + 2) / 6));
    zero_parameters(*third_entries_);
    return;
  }
  third_diagonal_ = register_own(3, "s3_diagonal", torch::nn::Linear(options.width, shape.dim));
  zero_parameters(*third_diagonal_);
  if (shape.s3 != Structure::kLowRank) return;
  third_weights_ = register_own(3, "s3_weights", torch::nn::Linear(options.width, shape.s3_rank));
  third_factor_ =
      register_own(3, "s3_factor", torch::nn::Linear(options.width, shape.dim * shape.s3_rank));
  zero_parameters(*third_weights_);  // s3 starts at zero, but not the way to its gradient
}

Features Mlp::features(const at::Tensor& x, const at::Tensor& noise, int order) {
  Features result;
  result.first = trunk_->forward(x, noise);
  if (order < 2) return result;
  result.second =
      second_trunk_ ? second_trunk_->forward(at::cat({x, result.first}, 1), noise) : result.first;
  if (order < 3) return result;
  if (!third_trunk_) {
    result.third = result.first;
    return result;
  }
  std::vector<at::Tensor> below{x, result.first};
  if (second_trunk_) below.push_back(result.second);
  result.third = third_trunk_->forward(at::cat(below, 1), noise);
  return result;
}

at::Tensor Mlp::third_features(const at::Tensor& x, const at::Tensor& noise) {
  return features(x, noise, 3).third;
}

at::Tensor Mlp::first_head(const at::Tensor& features) { return s1_->forward(features); }

HessianOutputs Mlp::second_head(const at::Tensor& features) {
  HessianOutputs outputs;
  if (diagonal_) outputs.diagonal = diagonal_->forward(features);
  if (factor_) {
    // A step of Adam moves every weight of a row, so an output by up to rate · width · |features|:
    // without this scale the factor, which enters squared, is the first to diverge.
    const double scale = 4 / std::sqrt(static_cast<double>(width_));
    const at::Tensor factor =
        direct_linear(scale * features, factor_->weight, scale * factor_->bias);
    outputs.factor =
        factor.view({-1, shape_.dim, shape_.s2 == Structure::kFull ? shape_.dim : shape_.rank});
  }
  return outputs;
}

ThirdOutputs Mlp::third_head(const at::Tensor& features) {
  ThirdOutputs outputs;
  if (third_entries_) {
    outputs.entries = third_entries_->forward(features);
    return outputs;
  }
  outputs.diagonal = third_diagonal_->forward(features);
  if (!third_factor_) return outputs;
  outputs.weights = third_weights_->forward(features);
  outputs.factor = third_factor_->forward(features).view({-1, shape_.dim, shape_.s3_rank});
  return outputs;
}

}  // namespace

std::shared_ptr<Network> MlpOptions::make(const NetworkShape& shape) const {
  return std::make_shared<Mlp>(shape, *this);
}

}  // namespace scorejet::nets
