// What every analytic density offers: samples, the log-density of its noisy version, and the exact
// scores of it; and the catalogue of them by name, of the plane and of D dimensions. Add a density:
// a file in src/distributions/ (copy templates/density.cc), and in catalogue.cc its function and a
// line, which put it into the tests and the command.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
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

 protected:
  // What evaluate() and log_density() ask of x and of an order; of sigma: broadcast_sigma().
  // `where` names the caller. Errors: as evaluate().
  void check(const char* where, const at::Tensor& x, int order = 1) const;
};

struct Density {
  std::string name;
  int64_t dim;
  std::function<std::unique_ptr<Distribution>()> make;  // with its default parameters
};

const std::vector<Density>& densities();

std::vector<std::string> density_names();

// Each with its dimension, for people: "two-moons (2), ..., normal (100)".
std::string describe_densities();

// Errors: std::invalid_argument for an unknown name, with the known ones and the nearest.
std::unique_ptr<Distribution> make_density(const std::string& name);

}  // namespace scorejet::distributions
