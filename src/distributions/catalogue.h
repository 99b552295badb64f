// The densities of the plane by name. Add one: its file, and a line in catalogue.cc.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "src/distributions/distribution.h"

namespace scorejet::distributions {

const std::vector<std::string>& planar_names();

// The density of that name with its default parameters.
// Errors: std::invalid_argument for an unknown name, with the known ones and the nearest.
std::unique_ptr<Distribution> make_planar(const std::string& name);

}  // namespace scorejet::distributions
