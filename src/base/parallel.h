// A loop over LibTorch's CPU threads. The one source compiled with OpenMP: without that flag
// at::parallel_for runs on a single thread and says nothing.
#pragma once

#include <cstdint>
#include <functional>

namespace scorejet::base {

// body(begin, end) on disjoint pieces of [0, count) of at least `grain` each, at most
// at::get_num_threads() at a time. What a piece throws is thrown here.
void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

// The same for work that calls BLAS or LAPACK on small matrices: each piece keeps to its own
// thread, where a BLAS with threads of its own would start them anew for every product of a few
// numbers (a step of chains on 20 x 20 matrices took up to 20 times as long beside another busy
// program).
void parallel_for_small_blas(int64_t count, const std::function<void(int64_t, int64_t)>& body);

}  // namespace scorejet::base
