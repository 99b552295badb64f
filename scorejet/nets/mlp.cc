#include "scorejet/nets/mlp.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>

namespace scorejet::nets {

MlpTrunk::MlpTrunk(int64_t dim, int64_t width, int64_t depth) {
  embedding_ = register_module("embedding", std::make_shared<NoiseEmbedding>(64));
  input_ = register_module("input", torch::nn::Linear(dim, width));
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
  const auto make_trunk = [&] {
    return std::make_shared<MlpTrunk>(options.dim, options.width, options.depth);
  };
  trunk_ = register_module("trunk", make_trunk());
  s1_ = register_module("s1", torch::nn::Linear(options.width, options.dim));
  torch::nn::init::zeros_(s1_->weight);  // start from the preconditioner's own denoiser
  if (options.hessian == Hessian::kNone) return;
  if (!options.share_trunk) second_trunk_ = register_module("s2_trunk", make_trunk());
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
  return {first, second_trunk_ ? second_trunk_->forward(x, noise) : first};
}

at::Tensor Mlp::first_head(const at::Tensor& features) { return s1_->forward(features); }

HessianOutputs Mlp::second_head(const at::Tensor& features) {
  HessianOutputs outputs;
  if (diagonal_) outputs.diagonal = diagonal_->forward(features);
  if (factor_)
    outputs.factor = factor_->forward(features).view(
        {-1, options_.dim, options_.hessian == Hessian::kFull ? options_.dim : options_.rank});
  return outputs;
}

}  // namespace scorejet::nets
