#include "src/objectives/factor_kernels.h"

#include <algorithm>

#include "src/base/simd.h"

namespace scorejet::objectives {
namespace {

using base::sum_lanes;
using base::Vector;

template <int kBytes>
using Register = typename Vector<float, kBytes>::Type;

template <int kBytes>
SCOREJET_INLINE Register<kBytes>& at(float* p) {
  return *reinterpret_cast<Register<kBytes>*>(p);
}
template <int kBytes>
SCOREJET_INLINE const Register<kBytes>& at(const float* p) {
  return *reinterpret_cast<const Register<kBytes>*>(p);
}

// Three rows by four. Twelve sums, a register each: they hide the latency of a fused multiply-add
// and leave four registers of AVX2 for what is multiplied.
template <int kBytes>
SCOREJET_INLINE void multiply_any(const float* left, int64_t left_rows, const float* right,
                                  int64_t right_rows, int64_t stride, int64_t length, bool upper,
                                  float* products) {
  using V = Register<kBytes>;
  constexpr int kLanes = Vector<float, kBytes>::kLanes, kI = 3, kJ = 4;
  for (int64_t i = 0; i < left_rows; i += kI) {
    for (int64_t j = upper ? i / kJ * kJ : 0; j < right_rows; j += kJ) {
      const float *x = left + i * stride, *y = right + j * stride;
      V sum[kI][kJ] = {};
      for (int64_t d = 0; d < length; d += kLanes) {
        V row[kI];
#pragma GCC unroll 3
        for (int a = 0; a < kI; ++a) row[a] = at<kBytes>(x + a * stride + d);
#pragma GCC unroll 4
        for (int b = 0; b < kJ; ++b) {
          const V other = at<kBytes>(y + b * stride + d);
#pragma GCC unroll 3
          for (int a = 0; a < kI; ++a) sum[a][b] += row[a] * other;
        }
      }
      float* out = products + i * right_rows + j;
#pragma GCC unroll 3
      for (int a = 0; a < kI; ++a) {
#pragma GCC unroll 4
        for (int b = 0; b < kJ; ++b) {
          out[a * right_rows + b] += sum_lanes<float, kBytes>(sum[a][b]);
        }
      }
    }
  }
}

// Four columns by three registers of coordinates.
template <int kBytes>
struct Tile {
  using V = Register<kBytes>;
  static constexpr int kLanes = Vector<float, kBytes>::kLanes, kK = 4, kD = 3;
  V sum[kK][kD];

  // sum_k += Σ_l row_l m_lk, l < count.
  SCOREJET_INLINE void add(const float* rows, int64_t stride, const float* m, int64_t columns,
                           int64_t count) {
    for (int64_t l = 0; l < count; ++l) {
      V row[kD];
#pragma GCC unroll 3
      for (int c = 0; c < kD; ++c) row[c] = at<kBytes>(rows + l * stride + c * kLanes);
#pragma GCC unroll 4
      for (int k = 0; k < kK; ++k) {
        const float value = m[l * columns + k];
#pragma GCC unroll 3
        for (int c = 0; c < kD; ++c) sum[k][c] += row[c] * value;
      }
    }
  }
};

template <int kBytes>
SCOREJET_INLINE void combine_any(const Combination& c) {
  using V = Register<kBytes>;
  using T = Tile<kBytes>;
  for (int64_t k = 0; k < c.columns; k += T::kK) {
    for (int64_t d = 0; d < c.length; d += T::kD * T::kLanes) {
      T tile = {};
      const float *rows = c.rows + d, *own = rows + k * c.stride;
      if (c.outer) {
        tile.add(rows, c.stride, c.outer + k, c.columns, c.outer_rows);
#pragma GCC unroll 3
        for (int v = 0; v < T::kD; ++v) {
          V& quadratic = at<kBytes>(c.quadratic + d + v * T::kLanes);
#pragma GCC unroll 4
          for (int a = 0; a < T::kK; ++a) {
            quadratic += tile.sum[a][v] * at<kBytes>(own + a * c.stride + v * T::kLanes);
          }
        }
        tile.add(rows + c.outer_rows * c.stride, c.stride, c.outer + c.outer_rows * c.columns + k,
                 c.columns, 1);
#pragma GCC unroll 3
        for (int v = 0; v < T::kD; ++v) {
          const V scale = at<kBytes>(c.outer_scale + d + v * T::kLanes);
#pragma GCC unroll 4
          for (int a = 0; a < T::kK; ++a) tile.sum[a][v] *= scale;
        }
      }
      tile.add(rows + c.inner_begin * c.stride, c.stride, c.inner + k, c.columns, c.inner_rows);
#pragma GCC unroll 3
      for (int v = 0; v < T::kD; ++v) {
        const V weight = at<kBytes>(c.weight + d + v * T::kLanes);
#pragma GCC unroll 4
        for (int a = 0; a < T::kK; ++a) {
          const V row = at<kBytes>(own + a * c.stride + v * T::kLanes);
          at<kBytes>(c.out + (k + a) * c.stride + d + v * T::kLanes) =
              c.scale * (tile.sum[a][v] + weight * row);
        }
      }
    }
  }
}

template <int kBytes>
SCOREJET_INLINE void reduce_rows_any(const float* rows, int64_t count, int64_t stride,
                                     int64_t length, const float* weights, float* squares,
                                     float* sums) {
  using V = Register<kBytes>;
  constexpr int kLanes = Vector<float, kBytes>::kLanes, kD = 3;
  for (int64_t d = 0; d < length; d += kD * kLanes) {
    V square[kD] = {}, sum[kD] = {};
    for (int64_t k = 0; k < count; ++k) {
      const float weight = weights ? weights[k] : 0.0F;
#pragma GCC unroll 3
      for (int v = 0; v < kD; ++v) {
        const V row = at<kBytes>(rows + k * stride + d + v * kLanes);
        square[v] += row * row;
        sum[v] += weight * row;
      }
    }
#pragma GCC unroll 3
    for (int v = 0; v < kD; ++v) {
      at<kBytes>(squares + d + v * kLanes) = square[v];
      if (weights) at<kBytes>(sums + d + v * kLanes) = sum[v];
    }
  }
}

SCOREJET_INLINE void square_product_any(const float* x, const float* y, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    float* row = out + i * n;
    std::fill(row, row + n, 0.0F);
    for (int64_t l = 0; l < n; ++l) {
      const float value = x[i * n + l];
      const float* other = y + l * n;
      for (int64_t j = 0; j < n; ++j) row[j] += value * other[j];
    }
  }
}

// One set of functions an instruction set: the same bodies, inlined under another target.
#define SCOREJET_FACTOR_KERNELS(name, target_attribute, bytes)                                    \
  target_attribute void multiply_##name(const float* left, int64_t left_rows, const float* right, \
                                        int64_t right_rows, int64_t stride, int64_t length,       \
                                        bool upper, float* products) {                            \
    multiply_any<bytes>(left, left_rows, right, right_rows, stride, length, upper, products);     \
  }                                                                                               \
  target_attribute void combine_##name(const Combination& combination) {                          \
    combine_any<bytes>(combination);                                                              \
  }                                                                                               \
  target_attribute void reduce_rows_##name(const float* rows, int64_t count, int64_t stride,      \
                                           int64_t length, const float* weights, float* squares,  \
                                           float* sums) {                                         \
    reduce_rows_any<bytes>(rows, count, stride, length, weights, squares, sums);                  \
  }                                                                                               \
  target_attribute void square_product_##name(const float* x, const float* y, int64_t n,          \
                                              float* out) {                                       \
    square_product_any(x, y, n, out);                                                             \
  }                                                                                               \
  FactorKernels table_##name() {                                                                  \
    return {multiply_##name, combine_##name, reduce_rows_##name, square_product_##name};          \
  }

SCOREJET_ALL_TARGETS(SCOREJET_FACTOR_KERNELS)

}  // namespace

const FactorKernels& factor_kernels() {
  static const FactorKernels kernels = SCOREJET_CHOOSE();
  return kernels;
}

}  // namespace scorejet::objectives
