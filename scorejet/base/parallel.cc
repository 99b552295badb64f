#include "scorejet/base/parallel.h"

#include <ATen/Parallel.h>

#ifndef _OPENMP
#error "compile this source with OpenMP (CMakeLists.txt): at::parallel_for is serial without"
#endif

namespace scorejet::base {

void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  at::parallel_for(0, count, grain, body);
}

}  // namespace scorejet::base
