// The densities that conformance_test.cc holds to their definition: each binary that runs it says
// which (all_densities.cc: the whole catalogue).
#pragma once

#include <vector>

#include "scorejet/distribution.h"

namespace scorejet::distributions {

const std::vector<Density>& densities_under_test();

}  // namespace scorejet::distributions
