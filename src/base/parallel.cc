#include "src/base/parallel.h"

#include <ATen/Parallel.h>
#include <omp.h>

#include <exception>

#ifndef _OPENMP
#error "compile this source with OpenMP (CMakeLists.txt): at::parallel_for is serial without"
#endif

namespace scorejet::base {

void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  at::parallel_for(0, count, grain, body);
}

void parallel_for_small_blas(int64_t count, const std::function<void(int64_t, int64_t)>& body) {
  const int threads = at::get_num_threads();
  if (threads == 1 || omp_in_parallel() != 0) return body(0, count);
  std::exception_ptr thrown;
  // Within a parallel region OpenBLAS and MKL run on the calling thread alone. One of a single
  // piece serves that end too.
#pragma omp parallel num_threads(threads)
  {
    const int64_t pieces = omp_get_num_threads(), piece = omp_get_thread_num();
    const int64_t begin = count * piece / pieces, end = count * (piece + 1) / pieces;
    try {
      if (begin < end) body(begin, end);
    } catch (...) {
#pragma omp critical
      if (!thrown) thrown = std::current_exception();
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace scorejet::base
