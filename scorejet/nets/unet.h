// The network for images: a small residual U-Net on folded pixels (patch x patch pixels become
// channels, so that the finest level works at reduced resolution), no normalisation layers,
// channels-last convolutions. The second-order head emits the diagonal map and mixes the r columns
// of the factor from shared maps (mixed_maps.h): the directions in which an image may differ are
// what its edges leave open, in combinations that only the whole of it decides, and which column
// stands for which of them depends on the place too.
#pragma once

#include "scorejet/nets/family.h"

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
