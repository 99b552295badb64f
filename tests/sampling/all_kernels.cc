#include "tests/sampling/conformance.h"

namespace scorejet::sampling {

const std::vector<Kernel>& kernels_under_test() { return kernels(); }

}  // namespace scorejet::sampling
