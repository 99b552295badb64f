// How many CPU threads to use, and what the process asks of its allocator: decided here and nowhere
// else.
#pragma once

namespace scorejet::base {

// The CPUs this process may run on (its affinity mask, further limited by a cgroup v2 quota,
// rounded up), at least 1. SCOREJET_THREADS overrides it. Errors: std::invalid_argument when
// SCOREJET_THREADS is no integer from 1 to 1024.
int num_threads();

// Hands num_threads() to LibTorch (at::set_num_threads) and tells glibc's malloc to keep large
// blocks for reuse: it would hand each back to the system and have every page zeroed again, a
// quarter of a small training step. Call once, before any tensor work; a library user need not.
void configure_process();

}  // namespace scorejet::base
