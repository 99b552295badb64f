// Every operation that has a fast form of our own beside LibTorch's plain one. The one list: a test
// holds each pair together, and SCOREJET_PLAIN switches them off to find out whether one is at
// fault. Add a fast path: a line in FastPath and one in fast_paths() (fast_paths.cc), and ask
// fast() where the choice is made.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace scorejet::base {

enum class FastPath {
  kHessianLoss,
  kBoundedFactor,
  kPixelMaps,
  kMixedMaps,
  kDirectLinear,
  kPointwise,
  kRowSquares,
  kAdamStep,
  kRangeNorm,
  kKrylov,
  kEigenpairs,
  kCount
};

struct FastPathInfo {
  FastPath path;
  const char* name;   // what SCOREJET_PLAIN takes
  const char* fused;  // the function that chooses
  const char* plain;  // the form in tensor operations
  const char* takes;  // what the fast form is for; the rest goes to the plain one
};

const std::vector<FastPathInfo>& fast_paths();

// Whether the fast form may be taken here. SCOREJET_PLAIN=1 says no for all, a list of names with
// commas for those; read once. Errors: std::invalid_argument naming a name that does not exist.
bool fast(FastPath path);

// What fast() goes by: whether a path is on, and how often it was taken.
struct FastPathSwitch {
  std::atomic<bool> on;
  std::atomic<int64_t> taken;
};
FastPathSwitch& fast_path_switch(FastPath path);

}  // namespace scorejet::base
