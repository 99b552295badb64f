// How much noise a picture has, from the picture alone. Change the estimator here.
#pragma once

#include <ATen/core/Tensor.h>

namespace scorejet::posterior {

// The standard deviation of white Gaussian noise in an image, one number for all its channels, in
// the image's units; 0 for an image without noise to see (constant, say).
// Math: clean patches lie near a subspace, so the small eigenvalues of the patches' covariance are
// the noise's: all would be σ², but for sampling. The largest are dropped one by one until the mean
// of the rest is no more than their median, as it is for noise alone; then σ² is that mean.
// Patches are d x d over all C channels, d at most 8 and such that 36 C d² <= H W where d > 2: with
// fewer pixels an eigenvalue the spread of the noise's own eigenvalues is taken for the image.
// Shapes: image [C, H, W]. Cost: at most 2^16 patches, on a regular grid.
// Errors: std::invalid_argument for H or W below 8; std::domain_error for NaN.
// See: Chen, Zhu & Heng, An efficient statistical method for image noise level estimation, ICCV
// 2015, algorithm 1.
double estimate_noise(const at::Tensor& image);

}  // namespace scorejet::posterior
