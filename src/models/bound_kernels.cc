#include "src/models/bound_kernels.h"

#include <bit>
#include <cstdint>

#include "src/base/simd.h"

namespace scorejet::models {
namespace {

constexpr float kInverseBound = 0.25F;

// 1/√x to 3 roundings, x at least 1. A division and a root of a register take 30 cycles, which is
// longer than its memory takes to arrive; the exponent halved and three of Newton's steps take 10.
SCOREJET_INLINE float reciprocal_root(float x) {
  float y = std::bit_cast<float>(0x5f3759df - (std::bit_cast<int32_t>(x) >> 1));
  const float half = 0.5F * x;
  for (int i = 0; i < 3; ++i) y = y * (1.5F - half * y * y);
  return y;
}

// The compiler vectorises these.
SCOREJET_INLINE float shrink(float u) {
  const float t = kInverseBound * u;
  return reciprocal_root(1 + t * t);
}

// body(index, e) for every entry.
template <typename F>
SCOREJET_INLINE void for_each(const FactorShape& shape, const float* scale, const F& body) {
  for (int64_t o = 0; o < shape.outer; ++o) {
    const int64_t row = o * shape.inner;
    if (shape.scale_inner) {
      for (int64_t i = 0; i < shape.inner; ++i) body(row + i, scale[i]);
    } else {
      const float e = scale[o];
      for (int64_t i = 0; i < shape.inner; ++i) body(row + i, e);
    }
  }
}

SCOREJET_INLINE void bound_any(const FactorShape& shape, const float* raw, const float* scale,
                               float unit, float* __restrict out) {
  for_each(shape, scale, [=](int64_t i, float e) SCOREJET_LAMBDA {
    const float u = unit * raw[i];
    out[i] = e * u * shrink(u);
  });
}

SCOREJET_INLINE void differentiate_any(const FactorShape& shape, const float* raw,
                                       const float* scale, float unit, const float* gradient,
                                       float* __restrict out) {
  for_each(shape, scale, [=](int64_t i, float e) SCOREJET_LAMBDA {
    const float s = shrink(unit * raw[i]);
    out[i] = gradient[i] * (unit * e) * (s * s * s);
  });
}

// One set of functions an instruction set: the same bodies, inlined under another target.
#define SCOREJET_BOUND_KERNELS(name, target_attribute, bytes)                            \
  target_attribute void bound_##name(const FactorShape& shape, const float* raw,         \
                                     const float* scale, float unit, float* out) {       \
    bound_any(shape, raw, scale, unit, out);                                             \
  }                                                                                      \
  target_attribute void differentiate_##name(const FactorShape& shape, const float* raw, \
                                             const float* scale, float unit,             \
                                             const float* gradient, float* out) {        \
    differentiate_any(shape, raw, scale, unit, gradient, out);                           \
  }                                                                                      \
  BoundKernels table_##name() { return {bound_##name, differentiate_##name}; }

SCOREJET_ALL_TARGETS(SCOREJET_BOUND_KERNELS)

}  // namespace

const BoundKernels& bound_kernels() {
  static const BoundKernels kernels = SCOREJET_CHOOSE();
  return kernels;
}

}  // namespace scorejet::models
