#include "src/training/flat_kernels.h"

#include <cmath>

#include "src/base/simd.h"

namespace scorejet::training {
namespace {

// The compiler vectorises this (CMakeLists.txt lets it take the square root without errno).
SCOREJET_INLINE void adam_any(const AdamConstants& constants, float scale, int64_t count,
                              const float* __restrict gradients, float* __restrict values,
                              float* __restrict first, float* __restrict second,
                              float* __restrict average) {
  const AdamConstants c = constants;
  for (int64_t i = 0; i < count; ++i) {
    const float g = scale * gradients[i];
    const float m = c.beta1 * first[i] + c.one_minus_beta1 * g;
    const float v = c.beta2 * second[i] + c.one_minus_beta2 * (g * g);
    const float w = values[i] - c.rate * m / (std::sqrt(v * c.correction2) + c.epsilon);
    first[i] = m;
    second[i] = v;
    values[i] = w;
    average[i] += c.average_rate * (w - average[i]);
  }
}

// Sixteen sums side by side: the order is fixed, so the compiler may vectorise it.
SCOREJET_INLINE double squared_sum_any(const float* x, int64_t count) {
  constexpr int kLanes = 16;
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
#pragma GCC unroll 16
    for (int j = 0; j < kLanes; ++j) {
      const auto value = static_cast<double>(x[i + j]);
      lanes[j] += value * value;
    }
  }
  double sum = 0;
  for (; i < count; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  for (double lane : lanes) sum += lane;
  return sum;
}

// One set of functions an instruction set: the same bodies, inlined under another target.
#define SCOREJET_FLAT_KERNELS(name, target_attribute, bytes)                                    \
  target_attribute void adam_##name(const AdamConstants& constants, float scale, int64_t count, \
                                    const float* gradients, float* values, float* first,        \
                                    float* second, float* average) {                            \
    adam_any(constants, scale, count, gradients, values, first, second, average);               \
  }                                                                                             \
  target_attribute double squared_sum_##name(const float* x, int64_t count) {                   \
    return squared_sum_any(x, count);                                                           \
  }                                                                                             \
  FlatKernels table_##name() { return {adam_##name, squared_sum_##name}; }

SCOREJET_ALL_TARGETS(SCOREJET_FLAT_KERNELS)

}  // namespace

const FlatKernels& flat_kernels() {
  static const FlatKernels kernels = SCOREJET_CHOOSE();
  return kernels;
}

}  // namespace scorejet::training
