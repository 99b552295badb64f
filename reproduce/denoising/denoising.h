// Denoising with uncertainty on images (after Meng et al. 2021, the section on uncertainty): how
// good the posteriors of a directly learned s2 are, what they cost, and what they look like, beside
// the Jacobian of the same s1, subspace iteration on it and principal components of the residuals.
// Change what is trained and measured in the plans (denoising_plan.cc), what is measured of a
// posterior in denoising_measures.cc, the ways to one in denoising_methods.cc, times and memory in
// denoising_cost.cc, the pictures in denoising_pictures.cc, what is written in denoising.cc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "reproduce/reproduce.h"
#include "scorejet/run_config.h"

namespace scorejet::reproduce {

// A model trained beside the main one for the sake of a comparison.
struct SideModel {
  std::string name;  // of its folder and its rows
  training::RunConfig config;
  bool conditioned = true;  // on the whole range of sigma; else at config.noise.sigma alone
};

struct DenoisingPlan {
  training::RunConfig model;   // the main one, conditioned on sigma
  std::vector<double> sigmas;  // that everything is measured at
  std::vector<SideModel> sides;
  std::string twin;  // the side model that those of a single sigma are held against; empty: none
  int64_t num_images = 1000;        // test images
  int64_t num_calibration = 10000;  // of them and of the held-out ones, for intervals and distances
  int64_t num_jacobian = 50;        // of them, the first, for the exact Jacobian
  int64_t num_components = 50;      // of the direct posteriors and the PCA
  int64_t num_residuals = 5000;     // training images behind the PCA
};

// `fast` trains a fraction as long and measures fewer images.
DenoisingPlan denoise_mnist_plan(bool fast);
DenoisingPlan denoise_cifar10_plan(bool fast);

}  // namespace scorejet::reproduce
