// A family of networks to copy: one hidden layer of random features, for vectors. Put the options
// into include/scorejet/network_options.h (the struct, a member of NetworkOptions and its name in
// families()) and the rest into src/nets/NAME.cc: files, --set, checkpoints and the command then
// know it, and tests/nets/conformance_test.cc holds it to what follows.
//
// A network gives features of the noisy x, and a head an order on top of them; what the outputs
// mean is the score model's affair. What serves order 2 alone is registered by register_own(), so
// that its gradient is clipped apart. What a family cannot do, make() refuses by name.
#include <ATen/ATen.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/linear.h>

#include "scorejet/network_options.h"
#include "src/base/error.h"
#include "src/nets/network.h"
#include "src/nets/noise_embedding.h"

namespace scorejet::nets {

struct WaveOptions : Family {
  int64_t waves = 64;

  std::string name() const override { return "waves"; }
  base::Settings settings() override {
    return {{"model.waves", &waves, "waves: features", base::at_least(1)}};
  }
  bool suits(const NetworkShape&) const override { return false; }  // only where it is named
  std::shared_ptr<Network> make(const NetworkShape& shape) const override;
};

namespace {

class Waves : public Network {
 public:
  Waves(const NetworkShape& shape, const WaveOptions& options) : shape_(shape) {
    frequency_ = register_module("frequency", torch::nn::Linear(shape.dim, options.waves));
    phase_ = register_module("phase", std::make_shared<NoiseEmbedding>(options.waves));
    if (shape.first) {
      s1_ = register_module("s1", torch::nn::Linear(options.waves, shape.dim));
      torch::nn::init::zeros_(s1_->weight);  // start from the preconditioner's own denoiser
    }
    if (shape.s2 == Structure::kNone) return;
    diagonal_ = register_own(2, "s2_diagonal", torch::nn::Linear(options.waves, shape.dim));
    if (shape.s2 != Structure::kLowRank) return;
    factor_ =
        register_own(2, "s2_factor", torch::nn::Linear(options.waves, shape.dim * shape.rank));
  }

  Features features(const at::Tensor& x, const at::Tensor& noise, int order) override {
    const at::Tensor h = (frequency_->forward(x) + phase_->forward(noise)).sin();
    return {h, order >= 2 ? h : at::Tensor(), {}};
  }
  at::Tensor first_head(const at::Tensor& features) override { return s1_->forward(features); }
  HessianOutputs second_head(const at::Tensor& features) override {
    HessianOutputs outputs{diagonal_->forward(features), {}};
    if (factor_) {
      outputs.factor = factor_->forward(features).view({-1, shape_.dim, shape_.rank});
    }
    return outputs;
  }
  at::Tensor third_features(const at::Tensor&, const at::Tensor&) override { return {}; }
  ThirdOutputs third_head(const at::Tensor&) override { return {}; }

 private:
  NetworkShape shape_;
  torch::nn::Linear frequency_{nullptr}, s1_{nullptr}, diagonal_{nullptr}, factor_{nullptr};
  std::shared_ptr<NoiseEmbedding> phase_;
};

}  // namespace

std::shared_ptr<Network> WaveOptions::make(const NetworkShape& shape) const {
  if (shape.s2 == Structure::kFull || shape.s3 != Structure::kNone || !shape.share_trunk) {
    base::fail_argument("nets::WaveOptions::make",
                        "model.network = \"waves\" needs s2 none, diagonal or low_rank, no s3 and "
                        "share_trunk = true; got {}, {} and {}",
                        structure_name(shape.s2), structure_name(shape.s3), shape.share_trunk);
  }
  return std::make_shared<Waves>(shape, *this);
}

// Only for the test of this template: the list does this in families().
Family& waves_family() {
  static WaveOptions options;
  return options;
}

}  // namespace scorejet::nets
