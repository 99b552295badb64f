// The densities of the plane whose definition planar_test.cc writes down: all of the catalogue but
// the mixture of Gaussians (gaussian_mixture_test.cc).
#pragma once

#include <string>
#include <vector>

#include "scorejet/distribution.h"

namespace scorejet::testing {

inline std::vector<std::string> planar_names() {
  std::vector<std::string> names;
  for (const distributions::Density& density : distributions::densities()) {
    if (density.dim == 2 && density.name != "mixture-2") names.push_back(density.name);
  }
  return names;
}

}  // namespace scorejet::testing
