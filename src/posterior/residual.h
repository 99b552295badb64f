// What a denoiser got wrong, and how well a posterior foresaw it. Add an error measure here.
#pragma once

#include <ATen/core/Tensor.h>

namespace scorejet::posterior {

// Peak signal-to-noise ratio of a whole set, 10 log10(peak² / mean squared error). Units: dB.
// Shapes: clean, estimate [N, D].
double peak_signal_to_noise(const at::Tensor& clean, const at::Tensor& estimate, double peak = 1.0);

// Structural similarity of each image to its clean one, [N], 1 where they are equal: the mean over
// channels and over the places of an 11 x 11 Gaussian window (sd 1.5) inside the image, with the
// constants K1 = 0.01, K2 = 0.03 of peak. Shapes: clean, estimate [N, C H W]; image_shape {C, H,
// W}. Errors: std::invalid_argument for shapes or sides below 11. See: Wang et al. 2004.
at::Tensor structural_similarity(const at::Tensor& clean, const at::Tensor& estimate,
                                 at::IntArrayRef image_shape, double peak = 1.0);

// Share of each residual's energy inside a subspace: ‖V e‖²/‖e‖², [N], in [0, 1].
// Shapes: residual [N, D]; components [N, K, D] or [K, D] (one basis for all), orthonormal rows.
at::Tensor energy_share(const at::Tensor& residual, const at::Tensor& components);

// The k leading principal directions [k, D] of residuals [N, D] about zero: the best fixed
// subspace, the baseline that a per-sample posterior has to beat.
at::Tensor principal_directions(const at::Tensor& residuals, int64_t k);

}  // namespace scorejet::posterior
