// What a chain runs on: the density p_sigma, known by its scores and, where it is, by its
// logarithm.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "scorejet/score/score_field.h"

namespace scorejet::sampling {

struct Target {
  const score::ScoreField* field;  // outlives the chains
  double sigma = 0.0;              // noise level, >= 0
  // log p_sigma up to a constant, x [B, D] -> [B]; empty where it is not known (a learned score).
  std::function<at::Tensor(const at::Tensor& x, double sigma)> log_density = {};
};

}  // namespace scorejet::sampling
