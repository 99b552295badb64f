// What hand-written inner loops share: a register as GCC's and Clang's vector extension, so that
// one body serves every instruction set. A source writes its loops as SCOREJET_INLINE templates
// over the register's bytes, then one function a target (attribute target) that inlines them,
// chosen at run time: linalg/krylov_kernels.cc, objectives/factor_kernels.cc,
// training/flat_kernels.cc.
#pragma once

#include <cstring>

#define SCOREJET_INLINE __attribute__((always_inline)) inline
#define SCOREJET_LAMBDA __attribute__((always_inline))

namespace scorejet::base {

// kBytes of T in one register; may start at any T.
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

enum class SimdLevel { kBaseline, kAvx2, kAvx512 };

// What this processor has; kAvx2 means fused multiply-add too.
inline SimdLevel simd_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return SimdLevel::kAvx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return SimdLevel::kAvx2;
#endif
  return SimdLevel::kBaseline;
}

// What the function of this processor's level makes.
template <typename Table>
Table choose(Table (*baseline)(), Table (*avx2)(), Table (*avx512)()) {
  const SimdLevel level = simd_level();
  return level == SimdLevel::kAvx512 ? avx512() : level == SimdLevel::kAvx2 ? avx2() : baseline();
}

}  // namespace scorejet::base

// KERNELS(name, target attribute, bytes of a register) for every target that the compiler has, and
// the table that this processor is to use: choose() of the functions table_NAME.
#if defined(__x86_64__)
#define SCOREJET_ALL_TARGETS(KERNELS)                    \
  KERNELS(baseline, , 16)                                \
  KERNELS(avx2, __attribute__((target("avx2,fma"))), 32) \
  KERNELS(avx512, __attribute__((target("avx512f"))), 64)
#define SCOREJET_CHOOSE(...)                                                   \
  ::scorejet::base::choose(table_baseline __VA_ARGS__, table_avx2 __VA_ARGS__, \
                           table_avx512 __VA_ARGS__)
#else
#define SCOREJET_ALL_TARGETS(KERNELS) KERNELS(baseline, , 16)
#define SCOREJET_CHOOSE(...)                                                       \
  ::scorejet::base::choose(table_baseline __VA_ARGS__, table_baseline __VA_ARGS__, \
                           table_baseline __VA_ARGS__)
#endif
