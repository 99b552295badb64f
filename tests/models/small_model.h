// Small models of each kind of network, away from where training starts: their heads begin at zero,
// and a test of what flows through them wants none.
#pragma once

#include <ATen/ATen.h>

#include <string>

#include "scorejet/score_model.h"
#include "src/nets/network.h"

namespace scorejet::testing {

// Of images of so many pixels a side, which an MLP takes as vectors.
inline models::ScoreModelOptions small_options(const std::string& kind, int64_t side = 4) {
  models::ScoreModelOptions options;
  options.network.kind = kind;
  options.network.dim = side * side;
  options.network.image_shape = {1, side, side};
  options.network.mlp.width = 16;
  options.network.unet.channels = 8;
  options.network.rank = 2;
  return options;
}

// Adds normal numbers of standard deviation `size` to every parameter, from torch's own generator.
inline void perturb(const models::ScoreModel& model, double size) {
  const at::NoGradGuard no_grad;
  for (at::Tensor& p : model.network().parameters()) p.add_(size * at::randn_like(p));
}

// For data of mean 0 and variance 1.
inline models::ScoreModel perturbed_model(const models::ScoreModelOptions& options, double size) {
  const int64_t dim = options.network.dim;
  models::ScoreModel model(options, at::zeros({dim}), at::ones({dim}));
  perturb(model, size);
  return model;
}

}  // namespace scorejet::testing
