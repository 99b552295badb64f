// Columns made of shared maps, mixed anew at every place: what the factor of an image's posterior
// looks like. Change the mixing here.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace scorejet::nets {

// y[n, k S + s, p] = Σ_c g↑[n, c r + k, p] f[n, c S + s, p]: each of r columns at p is a
// combination of m maps f, by coefficients g that vary slowly; ↑ interpolates bilinearly to the
// maps' size (pixels as areas, edges held). Then pixels_of(y, patch): a column is an image. Shapes:
// coefficients [N, m r, h, w]; maps [N, m S, H, W], S a multiple of patch²; returns [N, r S /
// patch², H patch, W patch], contiguous. Errors: std::invalid_argument for shapes that do not fit
// together. Cost: O(N H W m r S); in float32 on the CPU, channels last (maps may be some of a
// convolution's channels), one pass each way that holds a line, where mixed_maps_plain holds all
// coefficients.
at::Tensor mixed_maps(const at::Tensor& coefficients, const at::Tensor& maps, int64_t columns,
                      int64_t patch);
at::Tensor mixed_maps_plain(const at::Tensor& coefficients, const at::Tensor& maps, int64_t columns,
                            int64_t patch);

}  // namespace scorejet::nets
