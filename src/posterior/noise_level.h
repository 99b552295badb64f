// How much noise a picture has, from the picture alone. Change the estimator here.
#pragma once

#include <ATen/core/Tensor.h>

namespace scorejet::posterior {

// The standard deviation of white Gaussian noise in an image, one number for all its channels, in
// the image's units; 0 for an image without noise to see (constant, say).
// Math: clean patches lie near a subspace, so the small eigenvalues of the patches' covariance are
// the noise's: all would be σ², but for sampling. The largest are dropped one by one until the mean
// of the rest has as many above it as below, as it has for noise alone; then σ² is that mean.
// Patches are d x d over all C channels, with the largest d of 2..8 for which 36 C d² <= H W (2 if
// none): of larger ones the sampled eigenvalues of noise alone spread so far that too many are
// dropped. Noise cut off at black and white is not Gaussian: its σ is found too low.
// Shapes: image [C, H, W]. Cost: at most 2^16 patches, on a regular grid.
// Errors: std::invalid_argument for H or W below 8; std::domain_error for NaN.
// See: Chen, Zhu & Heng, An efficient statistical method for image noise level estimation, ICCV
// 2015, algorithm 1.
double estimate_noise(const at::Tensor& image);

}  // namespace scorejet::posterior
