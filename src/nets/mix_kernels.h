// The inner loops of mixed_maps.h at one pixel, vectorised for the processor that runs them.
#pragma once

#include <cstdint>

namespace scorejet::nets {

// r columns, m maps of S values each.
struct MixSizes {
  int64_t columns, maps, values;
};

// Floats that may be read past the end of g, and written past that of dg.
constexpr int64_t kMixPadding = 16;

// P: what r columns take, so that each value starts a register.
constexpr int64_t padded_columns(int64_t columns) {
  return (columns + kMixPadding - 1) / kMixPadding * kMixPadding;
}

struct MixKernels {
  // out[i] = (1 − t) a[i] + t b[i].
  void (*interpolate)(int64_t count, float t, const float* a, const float* b, float* out);
  // a[i] += (1 − t) x[i], b[i] += t x[i]; a and b may be the same.
  void (*spread)(int64_t count, float t, const float* x, float* a, float* b);
  // y[s P + k] = Σ_c g[c r + k] f[c S + s]; what lies beyond r columns means nothing.
  void (*mix)(const MixSizes& sizes, const float* g, const float* f, float* y);
  // Its gradients, from dy [S, P], zero beyond r columns: df [m S] and dg [m r].
  void (*unmix)(const MixSizes& sizes, const float* g, const float* f, const float* dy, float* df,
                float* dg);
};

// For this processor: AVX-512, AVX2 or what the build's baseline has.
const MixKernels& mix_kernels();

}  // namespace scorejet::nets
