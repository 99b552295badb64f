#include "scorejet/linalg/krylov_kernels.h"

#include <cstring>

namespace scorejet::linalg {
namespace {

#define SCOREJET_INLINE __attribute__((always_inline)) inline

// kBytes of T in one register, as GCC's and Clang's vector extension; may start at any T.
template <typename T, int kBytes>
struct Vector {
  typedef T Type __attribute__((vector_size(kBytes), aligned(sizeof(T)), may_alias));
  static constexpr int kLanes = kBytes / static_cast<int>(sizeof(T));
};

// Σ over the lanes, halves first: a short chain of additions.
template <typename T, int kBytes>
SCOREJET_INLINE T sum_lanes(const typename Vector<T, kBytes>::Type& lanes) {
  if constexpr (kBytes == sizeof(T)) {
    return lanes[0];
  } else {
    using Half = typename Vector<T, kBytes / 2>::Type;
    Half part[2];
    std::memcpy(part, &lanes, kBytes);
    part[0] += part[1];
    return sum_lanes<T, kBytes / 2>(part[0]);
  }
}

// kRows rows and kColumns columns of KrylovKernels::project. Eight accumulators hide the latency
// of a fused multiply-add and, with their operands, fit the 16 registers of AVX2.
template <typename T, int kBytes, int kRows, int kColumns>
SCOREJET_INLINE void project_block(const T* rows, int64_t stride, int64_t length, T sign,
                                   const T* const* x, T* const* w) {
  using V = typename Vector<T, kBytes>::Type;
  constexpr int kLanes = Vector<T, kBytes>::kLanes;
  V sum[kRows][kColumns] = {};
  for (int64_t i = 0; i < length; i += kLanes) {
    V value[kColumns];
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) value[c] = *reinterpret_cast<const V*>(x[c] + i);
#pragma GCC unroll 4
    for (int k = 0; k < kRows; ++k) {
      const V row = *reinterpret_cast<const V*>(rows + k * stride + i);
#pragma GCC unroll 2
      for (int c = 0; c < kColumns; ++c) sum[k][c] += row * value[c];
    }
  }
  V weight[kRows][kColumns];
#pragma GCC unroll 4
  for (int k = 0; k < kRows; ++k) {
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) {
      weight[k][c] = V{} + sign * sum_lanes<T, kBytes>(sum[k][c]);
    }
  }
  for (int64_t i = 0; i < length; i += kLanes) {
    V value[kColumns];
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) value[c] = *reinterpret_cast<const V*>(w[c] + i);
#pragma GCC unroll 4
    for (int k = 0; k < kRows; ++k) {
      const V row = *reinterpret_cast<const V*>(rows + k * stride + i);
#pragma GCC unroll 2
      for (int c = 0; c < kColumns; ++c) value[c] += row * weight[k][c];
    }
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) *reinterpret_cast<V*>(w[c] + i) = value[c];
  }
}

template <typename T, int kBytes, int kColumns>
SCOREJET_INLINE void project_columns(const T* rows, int64_t count, int64_t stride, int64_t length,
                                     T sign, const T* const* x, T* const* w) {
  int64_t k = 0;
  for (; k + 4 <= count; k += 4) {
    project_block<T, kBytes, 4, kColumns>(rows + k * stride, stride, length, sign, x, w);
  }
  for (; k < count; ++k) {
    project_block<T, kBytes, 1, kColumns>(rows + k * stride, stride, length, sign, x, w);
  }
}

template <typename T, int kBytes>
SCOREJET_INLINE void project_any(const T* rows, int64_t count, int64_t stride, int64_t length,
                                 T sign, int columns, const T* const* x, T* const* w) {
  if (columns == 2) {
    project_columns<T, kBytes, 2>(rows, count, stride, length, sign, x, w);
  } else {
    project_columns<T, kBytes, 1>(rows, count, stride, length, sign, x, w);
  }
}

template <typename T, int kBytes>
SCOREJET_INLINE T dot_any(const T* x, const T* y, int64_t length) {
  using V = typename Vector<T, kBytes>::Type;
  constexpr int kLanes = Vector<T, kBytes>::kLanes;
  V sum = {};
  for (int64_t i = 0; i < length; i += kLanes) {
    sum += *reinterpret_cast<const V*>(x + i) * *reinterpret_cast<const V*>(y + i);
  }
  return sum_lanes<T, kBytes>(sum);
}

// One set of functions an instruction set: the same bodies, inlined under another target.
#define SCOREJET_KERNELS(name, target_attribute, bytes)                                        \
  template <typename T>                                                                        \
  target_attribute void project_##name(const T* rows, int64_t count, int64_t stride,           \
                                       int64_t length, T sign, int columns, const T* const* x, \
                                       T* const* w) {                                          \
    project_any<T, bytes>(rows, count, stride, length, sign, columns, x, w);                   \
  }                                                                                            \
  template <typename T>                                                                        \
  target_attribute T dot_##name(const T* x, const T* y, int64_t length) {                      \
    return dot_any<T, bytes>(x, y, length);                                                    \
  }

SCOREJET_KERNELS(baseline, , 16)
#if defined(__x86_64__)
SCOREJET_KERNELS(avx2, __attribute__((target("avx2,fma"))), 32)
SCOREJET_KERNELS(avx512, __attribute__((target("avx512f"))), 64)
#endif

template <typename T>
KrylovKernels<T> choose() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return {project_avx512<T>, dot_avx512<T>};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return {project_avx2<T>, dot_avx2<T>};
  }
#endif
  return {project_baseline<T>, dot_baseline<T>};
}

}  // namespace

template <typename T>
const KrylovKernels<T>& krylov_kernels() {
  static const KrylovKernels<T> kernels = choose<T>();
  return kernels;
}

template const KrylovKernels<float>& krylov_kernels<float>();
template const KrylovKernels<double>& krylov_kernels<double>();

}  // namespace scorejet::linalg
