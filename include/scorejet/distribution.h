// What every analytic density offers: samples, the log-density of its noisy version, and the exact
// scores of it; and the densities of the plane by name. Add a density: a file in
// src/distributions/; one of the plane also a line in catalogue.cc, which puts it into the tests
// and the command.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "scorejet/score_field.h"

namespace scorejet::distributions {

class Distribution : public score::ScoreField {
 public:
  // log p_sigma(x), p_sigma = p * N(0, sigma² I), [B]; differentiable in x by autograd.
  // Shapes: x [B, D]; sigma [B] or a scalar, >= 0 unless the density says otherwise.
  at::Tensor log_density(const at::Tensor& x, const at::Tensor& sigma) const override = 0;
  bool has_log_density() const final { return true; }
  // Independent draws of the clean x, [count, D]; a function of the generator's state alone.
  virtual at::Tensor sample(int64_t count, at::Generator generator) const = 0;

  int max_order() const override { return 3; }
};

const std::vector<std::string>& planar_names();

// The density of that name with its default parameters.
// Errors: std::invalid_argument for an unknown name, with the known ones and the nearest.
std::unique_ptr<Distribution> make_planar(const std::string& name);

}  // namespace scorejet::distributions
