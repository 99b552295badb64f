// What a network must offer a score model: features of the noisy input, then one head an order.
// Trunk and heads are apart so that training can treat the gradient of each order on its own before
// it reaches shared weights. Add a network: a file beside this one and a line in make_network().
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace scorejet::nets {

enum class Hessian { kNone, kDiagonal, kLowRank, kFull };
enum class Third { kNone, kDiagonal, kLowRank, kFull };

// What a network is built from. The field list of [model] in a configuration.
struct NetworkOptions {
  std::string kind = "auto";         // "mlp", "unet", or "auto": by the data
  int64_t dim = 0;                   // D
  std::vector<int64_t> image_shape;  // {channels, height, width}; needed by unet
  bool first = true;                 // a head for s1; without one the first trunk is that of s2
  Hessian hessian = Hessian::kLowRank;
  int64_t rank = 20;  // columns of the factor (low rank and, when psd, full)
  Third third = Third::kNone;
  int64_t third_rank = 20;  // terms of the third order's low rank
  bool share_trunk = true;  // one trunk for all orders, or one each
  int64_t width = 256;      // mlp: hidden units a layer
  int64_t depth = 2;        // mlp: hidden layers
  int64_t channels = 32;    // unet: channels at the finest level it works on
  int64_t blocks = 1;       // unet: residual blocks a level
  int64_t levels = 2;       // unet: resolutions, each half the one before
  int64_t patch = 2;        // unet: pixels a side folded into channels at the input
};

// The raw outputs of the second-order head, before any parameterisation.
struct HessianOutputs {
  at::Tensor diagonal;  // [B, D]; undefined for kFull
  at::Tensor factor;    // [B, D, r] (kLowRank) or [B, D, D] (kFull); undefined for kDiagonal
};

// The raw outputs of the third-order head; undefined where the structure has no such part.
struct ThirdOutputs {
  at::Tensor diagonal;  // [B, D]; kDiagonal, kLowRank
  at::Tensor weights;   // [B, r]; kLowRank
  at::Tensor factor;    // [B, D, r]; kLowRank
  at::Tensor entries;   // [B, D (D + 1) (D + 2) / 6], those with i <= k <= l in order; kFull
};

class Network : public torch::nn::Module {
 public:
  // Features for the heads of orders one to three, those up to `order`: the same tensor when the
  // trunk is shared. Shapes: x [B, D], already scaled to unit variance; noise [B], ln(σ)/4.
  struct Features {
    at::Tensor first, second, third;
  };
  virtual Features features(const at::Tensor& x, const at::Tensor& noise, int order) = 0;
  // Those of the third order alone.
  virtual at::Tensor third_features(const at::Tensor& x, const at::Tensor& noise) = 0;
  virtual at::Tensor first_head(const at::Tensor& features) = 0;       // [B, D]
  virtual HessianOutputs second_head(const at::Tensor& features) = 0;  // see above
  virtual ThirdOutputs third_head(const at::Tensor& features) = 0;     // see above
  // The same network, its weights shared, on images of another size. Errors: std::invalid_argument
  // for a network that is not convolutional, or a size that its stride does not divide.
  virtual std::shared_ptr<Network> resized(int64_t height, int64_t width) const;
};

void zero_parameters(torch::nn::Module& module);

// Errors: std::invalid_argument naming the option: an unknown kind (and the nearest), sizes < 1,
// rank > D, a third order without a second, an image that the network's stride does not divide.
std::shared_ptr<Network> make_network(const NetworkOptions& options);

// What the height and width of a unet's images must be multiples of: patch 2^(levels − 1).
int64_t image_stride(const NetworkOptions& options);

// The kind that "auto" stands for.
std::string resolve_kind(const NetworkOptions& options);

}  // namespace scorejet::nets
