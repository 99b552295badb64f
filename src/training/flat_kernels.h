// The inner loops over flat buffers of parameters, vectorised for the processor that runs them.
#pragma once

#include <cstdint>

namespace scorejet::training {

// One update's constants (optimiser.h has the formula).
struct AdamConstants {
  float beta1, beta2, one_minus_beta1, one_minus_beta2;
  float rate;         // η / (1 − β₁ᵗ)
  float correction2;  // 1 / (1 − β₂ᵗ)
  float epsilon;
  float average_rate;  // 1 − d
};

struct FlatKernels {
  // The update of `count` parameters, their gradients times `scale`.
  void (*adam)(const AdamConstants& constants, float scale, int64_t count, const float* gradients,
               float* values, float* first_moment, float* second_moment, float* average);
  double (*squared_sum)(const float* x, int64_t count);  // in double: no overflow
};

// For this processor: AVX-512, AVX2 or what the build's baseline has.
const FlatKernels& flat_kernels();

}  // namespace scorejet::training
