// A mixture of two Gaussians of the plane with all that is known of it, and draws of p_sigma.
#pragma once

#include <ATen/ATen.h>

#include <cmath>

#include "scorejet/gaussian_mixture.h"
#include "scorejet/kernel.h"
#include "src/base/seed.h"

namespace scorejet::sampling {

inline at::Tensor f64(std::vector<double> values) { return at::tensor(values, at::kDouble); }

inline distributions::GaussianMixture two_modes() {
  return {f64({0.3, 0.7}), f64({-1.0, 0.0, 1.0, 0.5}).view({2, 2}),
          f64({0.5, 0.2, 0.2, 0.4, 0.3, -0.1, -0.1, 0.6}).view({2, 2, 2})};
}

inline Target on(const score::ScoreField& field, double sigma) {
  return {score::borrow(field), sigma};
}

// Points of p_sigma.
inline at::Tensor exact_draws(const distributions::GaussianMixture& density, double sigma,
                              int64_t count) {
  const at::Tensor x = density.sample(count, base::make_generator(5, "clean"));
  return x + sigma * at::randn(x.sizes(), base::make_generator(5, "noise"), x.options());
}

}  // namespace scorejet::sampling
