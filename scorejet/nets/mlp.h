// The network for vectors: residual hidden layers with σ added to each, linear heads. With trunks
// of their own each order's sees, beside x, the features of the orders below: they already know
// where the density turns, and what is learned of them comes from the quieter loss. (Training keeps
// the higher order's gradient from them.)
#pragma once

#include <torch/nn/modules/linear.h>

#include "scorejet/nets/network.h"
#include "scorejet/nets/noise_embedding.h"

namespace scorejet::nets {

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
  explicit Mlp(const NetworkOptions& options);
  Features features(const at::Tensor& x, const at::Tensor& noise, int order) override;
  at::Tensor first_head(const at::Tensor& features) override;
  HessianOutputs second_head(const at::Tensor& features) override;
  at::Tensor third_features(const at::Tensor& x, const at::Tensor& noise) override;
  ThirdOutputs third_head(const at::Tensor& features) override;

 private:
  NetworkOptions options_;
  std::shared_ptr<MlpTrunk> trunk_, second_trunk_, third_trunk_;  // the latter null when shared
  torch::nn::Linear s1_{nullptr}, diagonal_{nullptr}, factor_{nullptr};
  torch::nn::Linear third_diagonal_{nullptr}, third_weights_{nullptr}, third_factor_{nullptr},
      third_entries_{nullptr};
};

}  // namespace scorejet::nets
