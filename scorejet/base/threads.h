// How many CPU threads to use: decided here and nowhere else.
#pragma once

namespace scorejet::base {

// The CPUs this process may run on (its affinity mask, further limited by a cgroup v2 quota,
// rounded up), at least 1. SCOREJET_THREADS overrides it. Errors: std::invalid_argument when
// SCOREJET_THREADS is no integer from 1 to 1024.
int num_threads();

// Hands num_threads() to LibTorch (at::set_num_threads). Call once, before any tensor work.
void configure_threads();

}  // namespace scorejet::base
