// What the denoising experiment measures of posteriors whose truth is known. Add a figure here.
#pragma once

#include <ATen/core/Tensor.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "reproduce/denoising/denoising_methods.h"

namespace scorejet::reproduce {

// Spearman's rank correlation of two sets of numbers of one size; ties take their mean rank. NaN
// where one of them is constant.
double rank_correlation(const at::Tensor& a, const at::Tensor& b);

// A row of the table: psnr, ssim, nll (−log p of the clean image over D, nats), coverage_90,
// coverage_error (mean over 50/80/90/95/99 % of |coverage − level|), mahalanobis (squared over D),
// energy_1, _5, _20, _50 (share of the residual's energy in the leading components), sd_rank (rank
// correlation of standard deviations and absolute errors over all images and coordinates) and
// sd_rank_ideal (the same where the errors are draws of those standard deviations: what right ones
// reach). Coverage and ranks are over `counted` coordinates, bool [D]. null: what a method lacks.
nlohmann::ordered_json measure_posteriors(const Posterior& posteriors, const at::Tensor& clean,
                                          const at::Tensor& counted,
                                          const std::vector<int64_t>& image_shape);

// The leading components of two methods of the same images: cosine_1 (the median over images of the
// |cosine| of the first), overlap_5 (the mean over images of ‖V₅ W₅ᵀ‖²/5: 1 for the same subspace)
// and sd_agreement (rank correlation of their standard deviations over counted coordinates).
nlohmann::ordered_json measure_agreement(const Posterior& direct, const Posterior& other,
                                         const at::Tensor& counted);

}  // namespace scorejet::reproduce
