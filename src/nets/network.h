// What a network must offer a score model: features of the noisy input, then one head an order.
// Trunk and heads are apart so that training can treat the gradient of each order on its own before
// it reaches shared weights. A network is made from its options: network_options.h, which says how
// to add one.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "scorejet/network_options.h"

namespace scorejet::nets {

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

// For the heads of orders one to three: the same tensor when the trunk is shared.
struct Features {
  at::Tensor first, second, third;
};

class Network : public torch::nn::Module {
 public:
  // Those up to `order`. Shapes: x [B, D], already scaled to unit variance; noise [B], ln(σ)/4.
  virtual Features features(const at::Tensor& x, const at::Tensor& noise, int order) = 0;
  // Those of the third order alone.
  virtual at::Tensor third_features(const at::Tensor& x, const at::Tensor& noise) = 0;
  virtual at::Tensor first_head(const at::Tensor& features) = 0;       // [B, D]
  virtual HessianOutputs second_head(const at::Tensor& features) = 0;  // see above
  virtual ThirdOutputs third_head(const at::Tensor& features) = 0;     // see above

  // The parameters that serve order 2 or 3 alone, its trunk (where it has its own) and head: their
  // gradient is clipped apart from the rest, and a lower order's never reaches them. All others are
  // taken for the first order's and the shared trunk's.
  std::vector<at::Tensor> own_parameters(int order) const;

 protected:
  // As register_module(), for a part that serves `order` alone. A head or trunk of order 2 or 3
  // that is registered otherwise would be clipped with the shared trunk and frozen with s1.
  template <typename Part>
  Part register_own(int order, const std::string& name, Part part) {
    own_.emplace_back(order, name);
    return register_module(name, std::move(part));
  }

 private:
  std::vector<std::pair<int, std::string>> own_;
};

// A network that can be one of images of another size.
class Resizable {
 public:
  virtual ~Resizable() = default;
  // What height and width must be multiples of.
  virtual int64_t stride() const = 0;
  // The same network, its weights shared. Errors: std::invalid_argument for a size that the stride
  // does not divide.
  virtual std::shared_ptr<Network> resized(int64_t height, int64_t width) const = 0;
};

void zero_parameters(torch::nn::Module& module);

}  // namespace scorejet::nets
