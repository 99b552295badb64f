#include "src/nets/mix_kernels.h"

#include "src/base/simd.h"

namespace scorejet::nets {
namespace {

// Columns are taken a register at a time. The last register of a row of coefficients reaches into
// the next row: what it brings is multiplied by zero, or stored where it means nothing or is
// overwritten.

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

// kRegisters of columns from `first` on, of kValues values from `s` on: sums enough at once for the
// processor not to wait for each.
template <int kBytes, int kRegisters, int kValues>
SCOREJET_INLINE void mix_block(const MixSizes& sizes, int64_t first, int64_t s, const float* g,
                               const float* f, float* y) {
  using Lanes = typename base::Vector<float, kBytes>::Type;
  constexpr int64_t kLanes = base::Vector<float, kBytes>::kLanes;
  Lanes sum[kRegisters][kValues] = {};
  for (int64_t c = 0; c < sizes.maps; ++c) {
    const auto* row = reinterpret_cast<const Lanes*>(g + c * sizes.columns + first);
    const float* weights = f + c * sizes.values + s;
#pragma GCC unroll 2
    for (int j = 0; j < kRegisters; ++j) {
#pragma GCC unroll 4
      for (int v = 0; v < kValues; ++v) sum[j][v] += row[j] * weights[v];
    }
  }
  const int64_t padded = padded_columns(sizes.columns);
  for (int j = 0; j < kRegisters; ++j) {
    for (int v = 0; v < kValues; ++v) {
      *reinterpret_cast<Lanes*>(y + (s + v) * padded + first + j * kLanes) = sum[j][v];
    }
  }
}

template <int kBytes, int kRegisters>
SCOREJET_INLINE void mix_columns(const MixSizes& sizes, int64_t first, const float* g,
                                 const float* f, float* y) {
  int64_t s = 0;
  for (; s + 4 <= sizes.values; s += 4) mix_block<kBytes, kRegisters, 4>(sizes, first, s, g, f, y);
  for (; s < sizes.values; ++s) mix_block<kBytes, kRegisters, 1>(sizes, first, s, g, f, y);
}

template <int kBytes>
SCOREJET_INLINE void mix_any(const MixSizes& sizes, const float* g, const float* f, float* y) {
  constexpr int64_t kLanes = base::Vector<float, kBytes>::kLanes;
  int64_t k = 0;
  for (; k + 2 * kLanes <= sizes.columns; k += 2 * kLanes) {
    mix_columns<kBytes, 2>(sizes, k, g, f, y);
  }
  for (; k < sizes.columns; k += kLanes) mix_columns<kBytes, 1>(sizes, k, g, f, y);
}

template <int kBytes>
SCOREJET_INLINE void unmix_any(const MixSizes& sizes, const float* g, const float* f,
                               const float* dy, float* df, float* dg) {
  using Lanes = typename base::Vector<float, kBytes>::Type;
  constexpr int64_t kLanes = base::Vector<float, kBytes>::kLanes;
  const int64_t padded = padded_columns(sizes.columns);
  const auto d = [&](int64_t v, int64_t first) SCOREJET_LAMBDA {
    return reinterpret_cast<const Lanes*>(dy + v * padded + first);
  };
  for (int64_t c = 0; c < sizes.maps; ++c) {
    const float* row = g + c * sizes.columns;
    const float* weights = f + c * sizes.values;
    for (int64_t v = 0; v < sizes.values; ++v) {
      Lanes product = {};
      for (int64_t k = 0; k < sizes.columns; k += kLanes) {
        product += *reinterpret_cast<const Lanes*>(row + k) * *d(v, k);
      }
      df[c * sizes.values + v] = base::sum_lanes<float, kBytes>(product);
    }
    for (int64_t k = 0; k < sizes.columns; k += kLanes) {  // the next row mends what this overruns
      Lanes sum = {};
      for (int64_t v = 0; v < sizes.values; ++v) sum += *d(v, k) * weights[v];
      *reinterpret_cast<Lanes*>(dg + c * sizes.columns + k) = sum;
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
                                     const float* dy, float* df, float* dg) {                      \
    unmix_any<bytes>(sizes, g, f, dy, df, dg);                                                     \
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
