// Mixing on images (after Meng et al. 2021, the section on Ozaki sampling): how often chains from
// test images change class on a learned p_sigma, Langevin against Ozaki, over a grid of step sizes.
// Change what is run in the plans (mixing_plan.cc), what is measured of a chain in
// mixing_chains.cc, what counts as a change and as good quality in mixing_measures.cc, what is
// written in mixing.cc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "reproduce/reproduce.h"
#include "scorejet/run_config.h"

namespace scorejet::reproduce {

struct MixingPlan {
  training::RunConfig model;   // of the score model, trained in OUT/model unless one is there
  std::vector<double> sigmas;  // ascending: the one that chains run at is chosen from these
  std::vector<std::string> kernels;
  std::vector<double> relative_steps;  // ε/σ², the same for all kernels
  int64_t num_chains = 64;
  int64_t num_steps = 400;
  int64_t thin = 2;            // every thin-th position is judged
  int64_t survey_steps = 100;  // of the run by which σ is chosen
  int64_t long_steps =
      1200;  // of the chains that tell the model's own stationary values, and beside them
  int64_t judge_steps = 1500;  // of the judge's training
  bool flip = false;           // mirror half of the judge's training images
};

// The score models are those of configs/mixing-mnist.toml and configs/mixing-cifar10.toml; `fast`
// trains them, and runs the chains, a fraction as long.
MixingPlan mnist_plan(bool fast);
MixingPlan cifar10_plan(bool fast);

}  // namespace scorejet::reproduce
