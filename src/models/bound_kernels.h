// The inner loops of bounded_factor.cc, vectorised for the processor that runs them.
#pragma once

#include <cstdint>

namespace scorejet::models {

// One sample's factor as `outer` rows of `inner` entries, and e along one of the two.
struct FactorShape {
  int64_t outer, inner;
  bool scale_inner;  // e is along the entries of a row
};

struct BoundKernels {
  // out = e β(unit raw), β(u) = u/√(1 + (u/4)²).
  void (*bound)(const FactorShape& shape, const float* raw, const float* scale, float unit,
                float* out);
  // out = gradient e unit β'(unit raw), β'(u) = (1 + (u/4)²)^(−3/2).
  void (*differentiate)(const FactorShape& shape, const float* raw, const float* scale, float unit,
                        const float* gradient, float* out);
};

// For this processor: AVX-512, AVX2 or what the build's baseline has.
const BoundKernels& bound_kernels();

}  // namespace scorejet::models
