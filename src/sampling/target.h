// What a chain runs on: the density p_sigma, known by its scores and, where it is, by its
// logarithm.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "src/score/score_field.h"

namespace scorejet::sampling {

struct Target {
  std::shared_ptr<const score::ScoreField> field;  // gives s1 and s2
  double sigma = 0.0;                              // noise level, >= 0
  // Gives log p_sigma; null: `field` itself does, where it can. Another than `field` where the
  // density is known but chains are to propose by learned scores.
  std::shared_ptr<const score::ScoreField> density = {};

  bool has_log_density() const { return log_source().has_log_density(); }
  // Up to a constant, x [B, D] -> [B].
  at::Tensor log_density(const at::Tensor& x) const;

 private:
  const score::ScoreField& log_source() const { return density ? *density : *field; }
};

}  // namespace scorejet::sampling
