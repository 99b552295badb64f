// How many CPU threads to use, and what the process asks of its allocator and its BLAS: decided
// here and nowhere else.
#pragma once

#include <string>

#include "src/base/simd.h"

namespace scorejet::base {

// The CPUs this process may run on (its affinity mask, further limited by a cgroup v2 quota,
// rounded up), at least 1. SCOREJET_THREADS overrides it. Errors: std::invalid_argument when
// SCOREJET_THREADS is no integer from 1 to 1024.
int num_threads();

// Hands num_threads() to LibTorch (at::set_num_threads) and tells glibc's malloc to keep large
// blocks for reuse: it would hand each back to the system and have every page zeroed again, a
// quarter of a small training step. Call once, before any tensor work; a library user need not.
void configure_process();

// OpenBLAS chooses its kernels when it is loaded, and falls back to those of 2004 on a CPU that it
// does not recognise. If that happened, sets OPENBLAS_CORETYPE and executes the program `argv`
// anew. Returns if not, if the variable is set already, or if the program cannot be started.
// Costs one more start of LibTorch: for programs that run long. Call it first in main().
void restart_with_known_blas(char** argv);

// What OPENBLAS_CORETYPE should be for a processor of this level, empty to leave it. `chosen`:
// OpenBLAS's own choice; "Prescott", kernels of 2004 at a third of the speed and less, where it
// does not know the processor.
std::string blas_core_type(const std::string& chosen, SimdLevel level);

}  // namespace scorejet::base
