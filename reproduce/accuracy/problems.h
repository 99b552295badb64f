// The synthetic problems that experiments are run on, by name, each with its exact scores. Add a
// problem: a function in problems.cc and a line in make_problem().
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

// "normal" (100 dimensions, a random rotation of 70 eigenvalues 0.3 and 30 log-spaced from 0.4 to
// 20), "logistic" (50 independent coordinates, mixtures of 20 logistics), "mixture" (20 dimensions,
// 5 Gaussians of full covariance), "eight" (8 Gaussians on a ring in the plane). Drawn from fixed
// seeds. Errors: std::invalid_argument for another name.
Problem make_problem(const std::string& name);

const std::vector<std::string>& problem_names();

}  // namespace scorejet::reproduce
