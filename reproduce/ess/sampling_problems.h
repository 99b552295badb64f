// The densities that samplers are compared on, by name, and what a learned score of each is given.
// Add one: a density of the catalogue, and its name and a line in sampling_problems.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "scorejet/distribution.h"

namespace scorejet::reproduce {

struct SamplingProblem {
  std::string name;
  std::shared_ptr<const distributions::Distribution> density;
  double sigma = 0.1;  // chains run on p_sigma
  int64_t rank = 1;    // of the low-rank learned s2
  // Of the fit of s1 and s2.
  int64_t steps = 1000, batch = 256, width = 128, depth = 1;
  double rate = 4e-3;
  bool heavy_tails = false;  // then the factor of s2 is bounded and gradients are clipped
  int64_t num_chains = 128, evaluations = 1000;  // score evaluations of each chain at one setting
  // Step sizes are sought between these: well below the least variance of p_sigma along any
  // direction, and above the largest.
  double smallest_step = 0.01, largest_step = 10;
};

// Densities of the catalogue: "condition-100", "condition-1000", "condition-10000", "mixture-2" and
// "mixture-20" (distributions/drawn_mixtures.cc, in the principal axes of their draws: no kernel
// depends on the choice of axes), "funnel" and "banana". Errors: std::invalid_argument for another
// name.
SamplingProblem make_sampling_problem(const std::string& name);

const std::vector<std::string>& sampling_problem_names();

}  // namespace scorejet::reproduce
