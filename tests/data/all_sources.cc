#include "tests/data/conformance.h"

namespace scorejet::data {

const std::vector<Source>& sources_under_test() { return sources(); }

}  // namespace scorejet::data
