// The density of templates/density.cc passes what every density of the catalogue must.
#include "tests/distributions/conformance.h"

namespace scorejet::distributions {

std::unique_ptr<Distribution> heavy_tails();  // templates/density.cc

const std::vector<Density>& densities_under_test() {
  static const std::vector<Density> list{{"heavy-tails", 5, heavy_tails}};
  return list;
}

}  // namespace scorejet::distributions
