// One run of chains on a learned p_sigma of images and what is measured of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "reproduce/mixing/classifier.h"
#include "reproduce/mixing/mixing.h"
#include "scorejet/dataset.h"
#include "src/training/run_folder.h"

namespace scorejet::reproduce {

// All that runs share.
struct MixingArena {
  data::Dataset test;
  training::Run run;
  Judge judge;
};

// Loads the score model, and the judge or trains it: on the images as they are and, for half of
// each batch, as the score model denoises them at one of the plan's noise levels.
MixingArena open_arena(const MixingPlan& plan, const std::filesystem::path& out);

struct Course {
  at::Tensor denoised;    // [C, 1 + num_steps/thin, D]: x + σ² s1, clamped to [0, 1]
  at::Tensor score_norm;  // [C, 1 + num_steps/thin]: σ²‖s1‖²/D at x
  int64_t num_stopped = 0, num_bounded = 0;
  double seconds = 0;
};

struct CourseRequest {
  std::string kernel;
  double sigma = 0, relative_step = 0;  // ε/σ²; where an adjusted kernel starts from
  int64_t num_chains = 0, num_steps = 0, thin = 1;
  int64_t warmup = 0;  // steps before, in which an adjusted kernel finds its ε
  uint64_t seed = 0;
};

// Chains from test images plus noise, the same for every kernel; fewer chains are the first of
// many.
Course follow_chains(const MixingArena& arena, const CourseRequest& request);

// changes_per_1000 (per 1,000 chain-steps: one score evaluation each) and its standard error over
// chains, changes_per_second, first_change (the median step of a chain's first; null when less than
// half of the chains changed), unchanged (the share of chains without change); over the second half
// confidence, score_norm, class_entropy and feature_distance (energy coefficient of the judge's
// features to those of denoised noisy test images: 0 equal, 1 apart); ess_median and ess_least, of
// the 8 leading principal components of the features, per 1,000 evaluations, and rhat, the largest;
// stopped (share of the chains), bounded (share of chain-steps with Ozaki's bound in force).
nlohmann::ordered_json measure_chains(const MixingArena& arena, const CourseRequest& request);

// The same of independent draws of p_sigma, noisy test images: clean_accuracy and denoised_accuracy
// of the judge, confidence, score_norm, class_entropy, and start_distance, the feature_distance of
// `num_chains` of them.
nlohmann::ordered_json measure_reference(const MixingArena& arena, double sigma,
                                         int64_t num_chains);

}  // namespace scorejet::reproduce
