// The ways to a posterior of a noisy image that the denoising experiment compares. Add a way here
// and to the tasks of denoising.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "scorejet/posterior.h"

namespace scorejet::reproduce {

using posterior::Posterior;

// From the field's own s2. noisy, clean [N, D].
Posterior direct_posteriors(const score::ScoreField& field, const at::Tensor& clean,
                            const at::Tensor& noisy, double sigma, int64_t num_components);

// From the symmetric part of the whole Jacobian of s1, image by image: D vector-Jacobian products,
// 32 at once, and D² numbers. A covariance with a negative part has no likelihood; its standard
// deviations are NaN where a variance is negative.
Posterior jacobian_posteriors(const score::ScoreField& field, const at::Tensor& clean,
                              const at::Tensor& noisy, double sigma, int64_t num_components);

struct SubspaceOptions {
  int64_t count = 5;
  double tolerance = 1e-2;      // residual of each pair against the largest eigenvalue
  int64_t max_iterations = 50;  // as many as Manor, Michaeli 2024 take
};

struct SubspacePairs {
  at::Tensor values, vectors;  // [B, K] and [B, K, D]
  int64_t iterations = 0;
  double residual = 0;  // largest
};

// Leading eigenpairs of σ² (I + σ² J) by subspace iteration, the usual way today: multiply by Jᵀ
// (a backward pass a vector), orthonormalise, repeat; Rayleigh quotients at the end.
// See: Manor, Michaeli 2024, algorithm 1.
SubspacePairs subspace_iteration(const score::ScoreField& field, const at::Tensor& noisy,
                                 double sigma, const SubspaceOptions& options);

Posterior subspace_posteriors(const score::ScoreField& field, const at::Tensor& noisy, double sigma,
                              int64_t num_components);

// One covariance for all images: the leading principal components of `residuals` [M, D] of training
// images, and what they leave of each coordinate's variance, spread over the other directions. Its
// components are [K, D], the same for all.
// See: Tipping, Bishop 1999 (there with one variance for all coordinates).
Posterior pca_posteriors(const score::ScoreField& field, const at::Tensor& clean,
                         const at::Tensor& noisy, double sigma, const at::Tensor& residuals,
                         int64_t num_components);

// x̃ + σ² s1 of many images, in blocks.
at::Tensor denoised_means(const score::ScoreField& field, const at::Tensor& noisy, double sigma);

}  // namespace scorejet::reproduce
