// The network for images: a small residual U-Net on folded pixels (patch x patch pixels become
// channels, so that the finest level works at reduced resolution), no normalisation layers,
// channels-last convolutions. The s2 head emits the diagonal as one map, and makes each of the r
// factor columns as a mixture of a few shared maps (mixed_maps.h). The mixing weights come from a
// half-resolution map plus a positional encoding, so they vary over the image.
#pragma once

#include "src/nets/family.h"

namespace scorejet::nets {

struct UNetOptions : Family {
  int64_t channels = 32;
  int64_t blocks = 1;
  int64_t levels = 2;
  int64_t patch = 2;

  std::string name() const override { return "unet"; }
  base::Settings settings() override {
    return {
        {"model.channels", &channels, "unet: channels at its finest level", base::at_least(1)},
        {"model.blocks", &blocks, "unet: residual blocks a level", base::at_least(1)},
        {"model.levels", &levels, "unet: resolutions, each half the one before", base::at_least(1)},
        {"model.patch", &patch, "unet: pixels a side folded into channels at the input",
         base::at_least(1)}};
  }
  bool suits(const NetworkShape& shape) const override { return !shape.image_shape.empty(); }
  std::shared_ptr<Network> make(const NetworkShape& shape) const override;
};

}  // namespace scorejet::nets
