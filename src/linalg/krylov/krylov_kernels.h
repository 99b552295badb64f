// The inner loops of Lanczos on one chain, vectorised for the processor that runs them. Change
// their blocking or add an instruction set in krylov_kernels.cc.
#pragma once

#include <cstdint>

namespace scorejet::linalg {

// Vectors have a length that is a multiple of kVectorPad; pad with zeros.
inline constexpr int64_t kVectorPad = 16;
inline int64_t padded(int64_t length) {
  return (length + kVectorPad - 1) / kVectorPad * kVectorPad;
}

// T is float or double. Sums run in as many lanes as a register holds, so their rounding error
// grows with length / lanes.
template <typename T>
struct KrylovKernels {
  // w = a ∘ v − beta before.
  void (*start)(const T* a, const T* v, T beta, const T* before, int64_t length, T* w);
  // w_c += Σ_k f_k (f_kᵀ x_c) for c < columns (1 or 2), f_k the `count` rows at `rows`, `stride`
  // apart; that is F Fᵀ x. A few rows at a time stay in the first-level cache between their
  // products and their sums, so F is read once. x and w do not overlap.
  void (*add_gram)(const T* rows, int64_t count, int64_t stride, int64_t length, int columns,
                   const T* const* x, T* const* w);
  // w -= Σ_k f_k (f_kᵀ w), rows one `length` apart: Gram-Schmidt in blocks of eight.
  void (*orthogonalise)(const T* rows, int64_t count, int64_t length, T* w);
  // w += weight v; the new ‖w‖².
  T (*add)(T weight, const T* v, int64_t length, T* w);
  T (*dot)(const T* x, const T* y, int64_t length);
  void (*scale)(T factor, int64_t length, T* w);  // w *= factor
};

// For this processor: AVX-512, AVX2 or what the build's baseline has.
template <typename T>
const KrylovKernels<T>& krylov_kernels();

}  // namespace scorejet::linalg
