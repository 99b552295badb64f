// How maps [N, C, H, W] lie in memory, for the loops of this room that walk them themselves.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace scorejet::nets {

// Numbers from one pixel of `maps` to the next where they lie channels last, all of a convolution's
// channels or some that follow each other; 0 where they do not.
inline int64_t pixel_stride(const at::Tensor& maps) {
  const auto alike = [&](int64_t i, int64_t stride) {
    return maps.size(i) == 1 || maps.stride(i) == stride;
  };
  const int64_t step = maps.size(3) > 1   ? maps.stride(3)
                       : maps.size(2) > 1 ? maps.stride(2)
                       : maps.size(0) > 1 ? maps.stride(0)
                                          : maps.size(1);
  const int64_t line = maps.size(3) * step;
  const bool fit = maps.numel() > 0 && step >= maps.size(1) && alike(1, 1) && alike(2, line) &&
                   alike(0, maps.size(2) * line);
  return fit ? step : 0;
}

// Whether those loops can: in float32 on the CPU, channels last.
inline bool is_walkable(const at::Tensor& maps) {
  return maps.dim() == 4 && maps.device().is_cpu() && maps.scalar_type() == at::kFloat &&
         pixel_stride(maps) > 0;
}

}  // namespace scorejet::nets
