#include "scorejet/nets/mix_kernels.h"

#include "scorejet/base/simd.h"

namespace scorejet::nets {
namespace {

// Columns are taken a register at a time. The last register of a row of coefficients reaches into
// the next row: what it brings is multiplied by zero, not stored, or stored and overwritten.

SCOREJET_INLINE void interpolate_any(int64_t count, float t, const float* __restrict a,
                                     const float* __restrict b, float* __restrict out) {
  const float rest = 1 - t;
  for (int64_t i = 0; i < count; ++i) out[i] = rest * a[i] + t * b[i];
}

SCOREJET_INLINE void spread_any(int64_t count, float t, const float* __restrict x, float* a,
                                float* b) {
  const float rest = 1 - t;
  for (int64_t i = 0; i < count; ++i) a[i] += rest * x[i];
  for (int64_t i = 0; i < count; ++i) b[i] += t * x[i];
}

// Columns [first, first + count) of kValues values from `s` on; count is at most a register's.
template <int kBytes, int kValues>
SCOREJET_INLINE void mix_block(const MixSizes& sizes, int64_t first, int64_t count, int64_t s,
                               const float* g, const float* f, float* y) {
  using Lanes = typename base::Vector<float, kBytes>::Type;
  Lanes sum[kValues] = {};
  for (int64_t c = 0; c < sizes.maps; ++c) {
    const Lanes row = *reinterpret_cast<const Lanes*>(g + c * sizes.columns + first);
#pragma GCC unroll 4
    for (int v = 0; v < kValues; ++v) sum[v] += row * f[c * sizes.values + s + v];
  }
  for (int64_t k = 0; k < count; ++k) {
    for (int v = 0; v < kValues; ++v) y[(first + k) * sizes.values + s + v] = sum[v][k];
  }
}

template <int kBytes>
SCOREJET_INLINE void mix_any(const MixSizes& sizes, const float* g, const float* f, float* y) {
  constexpr int64_t kLanes = base::Vector<float, kBytes>::kLanes;
  for (int64_t first = 0; first < sizes.columns; first += kLanes) {
    const int64_t left = sizes.columns - first, count = left < kLanes ? left : kLanes;
    int64_t s = 0;
    for (; s + 4 <= sizes.values; s += 4) mix_block<kBytes, 4>(sizes, first, count, s, g, f, y);
    for (; s < sizes.values; ++s) mix_block<kBytes, 1>(sizes, first, count, s, g, f, y);
  }
}

// scratch: dy, a register of columns at a time: S for each.
template <int kBytes>
SCOREJET_INLINE void unmix_any(const MixSizes& sizes, const float* g, const float* f,
                               const float* dy, float* df, float* dg, float* scratch) {
  using Lanes = typename base::Vector<float, kBytes>::Type;
  constexpr int64_t kLanes = base::Vector<float, kBytes>::kLanes;
  const int64_t registers = (sizes.columns + kLanes - 1) / kLanes;
  for (int64_t k = 0; k < registers * kLanes; ++k) {
    float* to = scratch + k / kLanes * kLanes * sizes.values + k % kLanes;
    for (int64_t v = 0; v < sizes.values; ++v) {
      to[v * kLanes] = k < sizes.columns ? dy[k * sizes.values + v] : 0.0f;
    }
  }
  const auto* d = reinterpret_cast<const Lanes*>(scratch);
  for (int64_t c = 0; c < sizes.maps; ++c) {
    const float* row = g + c * sizes.columns;
    const float* weights = f + c * sizes.values;
    for (int64_t v = 0; v < sizes.values; ++v) {
      Lanes product = {};
      for (int64_t j = 0; j < registers; ++j) {
        product += *reinterpret_cast<const Lanes*>(row + j * kLanes) * d[j * sizes.values + v];
      }
      df[c * sizes.values + v] = base::sum_lanes<float, kBytes>(product);
    }
    for (int64_t j = 0; j < registers; ++j) {  // the next row mends what this overruns
      Lanes sum = {};
      for (int64_t v = 0; v < sizes.values; ++v) sum += d[j * sizes.values + v] * weights[v];
      *reinterpret_cast<Lanes*>(dg + c * sizes.columns + j * kLanes) = sum;
    }
  }
}

// One set of functions an instruction set: the same bodies, inlined under another target.
#define SCOREJET_MIX_KERNELS(name, target_attribute, bytes)                                        \
  target_attribute void interpolate_##name(int64_t count, float t, const float* a, const float* b, \
                                           float* out) {                                           \
    interpolate_any(count, t, a, b, out);                                                          \
  }                                                                                                \
  target_attribute void spread_##name(int64_t count, float t, const float* x, float* a,            \
                                      float* b) {                                                  \
    spread_any(count, t, x, a, b);                                                                 \
  }                                                                                                \
  target_attribute void mix_##name(const MixSizes& sizes, const float* g, const float* f,          \
                                   float* y) {                                                     \
    mix_any<bytes>(sizes, g, f, y);                                                                \
  }                                                                                                \
  target_attribute void unmix_##name(const MixSizes& sizes, const float* g, const float* f,        \
                                     const float* dy, float* df, float* dg, float* scratch) {      \
    unmix_any<bytes>(sizes, g, f, dy, df, dg, scratch);                                            \
  }                                                                                                \
  MixKernels table_##name() {                                                                      \
    return {interpolate_##name, spread_##name, mix_##name, unmix_##name};                          \
  }

SCOREJET_ALL_TARGETS(SCOREJET_MIX_KERNELS)

}  // namespace

const MixKernels& mix_kernels() {
  static const MixKernels kernels = SCOREJET_CHOOSE();
  return kernels;
}

}  // namespace scorejet::nets
