// The synthetic problems that experiments are run on, by name, each with its exact scores. Add a
// problem: a density of the catalogue, and a line in make_problem().
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "scorejet/distribution.h"

namespace scorejet::reproduce {

struct Problem {
  std::string name, title;
  std::unique_ptr<distributions::Distribution> density;
  bool diagonal = false;  // independent coordinates: s2 and s3 are judged by their diagonals
};

// "normal", "logistic" and "mixture" of the catalogue (distributions/drawn_mixtures.cc), and
// "eight" (8 Gaussians on a ring in the plane). Errors: std::invalid_argument for another name.
Problem make_problem(const std::string& name);

const std::vector<std::string>& problem_names();

}  // namespace scorejet::reproduce
