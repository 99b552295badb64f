#include "src/linalg/krylov/krylov_kernels.h"

#include "src/base/simd.h"

namespace scorejet::linalg {
namespace {

using base::sum_lanes;
using base::Vector;

// Keeps a row's register for both columns: GCC would load it again, a sixth slower.
#if defined(__x86_64__) && !defined(__clang__)
#define SCOREJET_HOLD(value) asm("" : "+v"(value))
#else
#define SCOREJET_HOLD(value)
#endif

// The sums of kRows rows' products with kColumns vectors, a register each. Eight of them hide the
// latency of a fused multiply-add.
template <typename T, int kBytes, int kRows, int kColumns>
struct Block {
  using V = typename Vector<T, kBytes>::Type;
  static constexpr int kLanes = Vector<T, kBytes>::kLanes;
  V sum[kRows][kColumns];
  V weight[kRows][kColumns];

  SCOREJET_INLINE void clear() {
#pragma GCC unroll 8
    for (int k = 0; k < kRows; ++k) {
#pragma GCC unroll 2
      for (int c = 0; c < kColumns; ++c) sum[k][c] = V{};
    }
  }
  // One register's worth, at i, of f_kᵀ x_c.
  SCOREJET_INLINE void multiply(const T* rows, int64_t stride, const T* const* x, int64_t i) {
    V value[kColumns];
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) value[c] = *reinterpret_cast<const V*>(x[c] + i);
#pragma GCC unroll 8
    for (int k = 0; k < kRows; ++k) {
      V row = *reinterpret_cast<const V*>(rows + k * stride + i);
      if constexpr (kColumns > 1) SCOREJET_HOLD(row);
#pragma GCC unroll 2
      for (int c = 0; c < kColumns; ++c) sum[k][c] += row * value[c];
    }
  }
  SCOREJET_INLINE void finish(T sign) {
#pragma GCC unroll 8
    for (int k = 0; k < kRows; ++k) {
#pragma GCC unroll 2
      for (int c = 0; c < kColumns; ++c) {
        weight[k][c] = V{} + sign * sum_lanes<T, kBytes>(sum[k][c]);
      }
    }
  }
  // w_c += Σ_k weight_kc f_k at i.
  SCOREJET_INLINE void add(const T* rows, int64_t stride, T* const* w, int64_t i) const {
    V value[kColumns];
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) value[c] = *reinterpret_cast<const V*>(w[c] + i);
#pragma GCC unroll 8
    for (int k = 0; k < kRows; ++k) {
      V row = *reinterpret_cast<const V*>(rows + k * stride + i);
      if constexpr (kColumns > 1) SCOREJET_HOLD(row);
      __builtin_prefetch(rows + (k + kRows) * stride + i);  // the next block: a fifth faster
#pragma GCC unroll 2
      for (int c = 0; c < kColumns; ++c) value[c] += row * weight[k][c];
    }
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) *reinterpret_cast<V*>(w[c] + i) = value[c];
  }
};

// The rows in blocks of kBlock, then one block of what is left, each block's products before its
// sums: x may be w.
template <typename T, int kBytes, int kBlock, int kColumns>
SCOREJET_INLINE void project_blocks(const T* rows, int64_t count, int64_t stride, int64_t length,
                                    T sign, const T* const* x, T* const* w) {
  constexpr int kLanes = Vector<T, kBytes>::kLanes;
  for (; count >= kBlock; count -= kBlock, rows += kBlock * stride) {
    Block<T, kBytes, kBlock, kColumns> block;
    block.clear();
    for (int64_t i = 0; i < length; i += kLanes) block.multiply(rows, stride, x, i);
    block.finish(sign);
    for (int64_t i = 0; i < length; i += kLanes) block.add(rows, stride, w, i);
  }
  if constexpr (kBlock > 1) {
    if (count > 0) {
      project_blocks<T, kBytes, kBlock - 1, kColumns>(rows, count, stride, length, sign, x, w);
    }
  }
}

template <typename T, int kBytes>
SCOREJET_INLINE void start_any(const T* a, const T* v, T beta, const T* before, int64_t length,
                               T* w) {
  using V = typename Vector<T, kBytes>::Type;
  for (int64_t i = 0; i < length; i += Vector<T, kBytes>::kLanes) {
    *reinterpret_cast<V*>(w + i) =
        *reinterpret_cast<const V*>(a + i) * *reinterpret_cast<const V*>(v + i) -
        beta * *reinterpret_cast<const V*>(before + i);
  }
}

// Four sums side by side, so that one addition need not wait for the one before.
template <typename T, int kBytes>
SCOREJET_INLINE T add_any(T weight, const T* v, int64_t length, T* w) {
  using V = typename Vector<T, kBytes>::Type;
  constexpr int kLanes = Vector<T, kBytes>::kLanes;
  V sum[4] = {};
  int64_t i = 0;
  const auto step = [&](V& into, int64_t at) SCOREJET_LAMBDA {
    const V value = *reinterpret_cast<V*>(w + at) + weight * *reinterpret_cast<const V*>(v + at);
    into += value * value;
    *reinterpret_cast<V*>(w + at) = value;
  };
  for (; i + 4 * kLanes <= length; i += 4 * kLanes) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) step(sum[k], i + k * kLanes);
  }
  for (; i < length; i += kLanes) step(sum[0], i);
  sum[0] += sum[1] + (sum[2] + sum[3]);
  return sum_lanes<T, kBytes>(sum[0]);
}

template <typename T, int kBytes>
SCOREJET_INLINE T dot_any(const T* x, const T* y, int64_t length) {
  using V = typename Vector<T, kBytes>::Type;
  constexpr int kLanes = Vector<T, kBytes>::kLanes;
  V sum[4] = {};
  int64_t i = 0;
  const auto step = [&](V& into, int64_t at) SCOREJET_LAMBDA {
    into += *reinterpret_cast<const V*>(x + at) * *reinterpret_cast<const V*>(y + at);
  };
  for (; i + 4 * kLanes <= length; i += 4 * kLanes) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) step(sum[k], i + k * kLanes);
  }
  for (; i < length; i += kLanes) step(sum[0], i);
  sum[0] += sum[1] + (sum[2] + sum[3]);
  return sum_lanes<T, kBytes>(sum[0]);
}

template <typename T, int kBytes>
SCOREJET_INLINE void scale_any(T factor, int64_t length, T* w) {
  using V = typename Vector<T, kBytes>::Type;
  for (int64_t i = 0; i < length; i += Vector<T, kBytes>::kLanes) {
    *reinterpret_cast<V*>(w + i) *= factor;
  }
}

// One set of functions an instruction set: the same bodies, inlined under another target.
#define SCOREJET_KERNELS(name, target_attribute, bytes)                                            \
  template <typename T>                                                                            \
  target_attribute void start_##name(const T* a, const T* v, T beta, const T* before,              \
                                     int64_t length, T* w) {                                       \
    start_any<T, bytes>(a, v, beta, before, length, w);                                            \
  }                                                                                                \
  template <typename T>                                                                            \
  target_attribute void add_gram_##name(const T* rows, int64_t count, int64_t stride,              \
                                        int64_t length, int columns, const T* const* x,            \
                                        T* const* w) {                                             \
    if (columns == 2) {                                                                            \
      project_blocks<T, bytes, 4, 2>(rows, count, stride, length, T(1), x, w);                     \
    } else {                                                                                       \
      project_blocks<T, bytes, 4, 1>(rows, count, stride, length, T(1), x, w);                     \
    }                                                                                              \
  }                                                                                                \
  template <typename T>                                                                            \
  target_attribute void orthogonalise_##name(const T* rows, int64_t count, int64_t length, T* w) { \
    project_blocks<T, bytes, 8, 1>(rows, count, length, length, T(-1), &w, &w);                    \
  }                                                                                                \
  template <typename T>                                                                            \
  target_attribute T add_##name(T weight, const T* v, int64_t length, T* w) {                      \
    return add_any<T, bytes>(weight, v, length, w);                                                \
  }                                                                                                \
  template <typename T>                                                                            \
  target_attribute T dot_##name(const T* x, const T* y, int64_t length) {                          \
    return dot_any<T, bytes>(x, y, length);                                                        \
  }                                                                                                \
  template <typename T>                                                                            \
  target_attribute void scale_##name(T factor, int64_t length, T* w) {                             \
    scale_any<T, bytes>(factor, length, w);                                                        \
  }                                                                                                \
  template <typename T>                                                                            \
  KrylovKernels<T> table_##name() {                                                                \
    return {start_##name<T>, add_gram_##name<T>, orthogonalise_##name<T>,                          \
            add_##name<T>,   dot_##name<T>,      scale_##name<T>};                                 \
  }

SCOREJET_ALL_TARGETS(SCOREJET_KERNELS)

}  // namespace

template <typename T>
const KrylovKernels<T>& krylov_kernels() {
  static const KrylovKernels<T> kernels = SCOREJET_CHOOSE(<T>);
  return kernels;
}

template const KrylovKernels<float>& krylov_kernels<float>();
template const KrylovKernels<double>& krylov_kernels<double>();

}  // namespace scorejet::linalg
