// The network for vectors: residual hidden layers with σ added to each, linear heads. With trunks
// of their own each order's sees, beside x, the features of the orders below: they already know
// where the density turns, and what is learned of them comes from the quieter loss. (Training keeps
// the higher order's gradient from them.)
#pragma once

#include "src/nets/family.h"

namespace scorejet::nets {

struct MlpOptions : Family {
  int64_t width = 256;
  int64_t depth = 2;

  std::string name() const override { return "mlp"; }
  base::Settings settings() override {
    return {{"model.width", &width, "mlp: hidden units a layer", base::at_least(1)},
            {"model.depth", &depth, "mlp: hidden layers", base::at_least(1)}};
  }
  bool suits(const NetworkShape& shape) const override { return shape.image_shape.empty(); }
  std::shared_ptr<Network> make(const NetworkShape& shape) const override;
};

}  // namespace scorejet::nets
