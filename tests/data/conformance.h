// The data sets that conformance_test.cc holds to what an entry must be: each binary that runs it
// says which (all_sources.cc: the whole list).
#pragma once

#include <vector>

#include "src/data/sources.h"

namespace scorejet::data {

const std::vector<Source>& sources_under_test();

}  // namespace scorejet::data
