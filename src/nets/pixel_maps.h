// From a convolution's maps to pixels.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace scorejet::nets {

// Channels in groups of patch² become patch x patch pixels, as at::pixel_shuffle, contiguous.
// Shapes: maps [N, C patch², H, W]; returns [N, C, H patch, W patch].
// Cost: one pass for maps in float32 on the CPU, channels last (as convolutions write them here),
// and one for their gradient, channels last again; pixels_of_plain makes two each way, slower ones.
at::Tensor pixels_of(const at::Tensor& maps, int64_t patch);
at::Tensor pixels_of_plain(const at::Tensor& maps, int64_t patch);

}  // namespace scorejet::nets
