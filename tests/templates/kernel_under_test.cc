// The kernel of templates/kernel.cc passes what every kernel of the list must.
#include "tests/sampling/conformance.h"

namespace scorejet::sampling {

Kernel underdamped_kernel();  // templates/kernel.cc

const std::vector<Kernel>& kernels_under_test() {
  static const std::vector<Kernel> list{underdamped_kernel()};
  return list;
}

}  // namespace scorejet::sampling
