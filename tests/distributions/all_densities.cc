#include "tests/distributions/conformance.h"

namespace scorejet::distributions {

const std::vector<Density>& densities_under_test() { return densities(); }

}  // namespace scorejet::distributions
