// The families of networks that conformance_test.cc holds to what network.h asks: each binary that
// runs it says which (all_families.cc: the whole list).
#pragma once

#include <vector>

#include "scorejet/network_options.h"

namespace scorejet::nets {

const std::vector<Family*>& families_under_test();

}  // namespace scorejet::nets
