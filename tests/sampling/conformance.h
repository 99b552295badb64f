// The kernels that conformance_test.cc holds to what they declare: each binary that runs it says
// which (all_kernels.cc: the whole list).
#pragma once

#include <vector>

#include "scorejet/kernel.h"

namespace scorejet::sampling {

const std::vector<Kernel>& kernels_under_test();

}  // namespace scorejet::sampling
