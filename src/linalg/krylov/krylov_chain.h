// Lanczos on one chain at a time: one chain's F (160 KB for D = 784, r = 50 in float32) stays in
// the cache over all its Krylov vectors, where a batched product would stream every chain's F from
// memory for each. What matrix functions (krylov_cpu.cc) and eigenpairs (eigen_cpu.cc) share.
// Change the recurrence and its reorthogonalisation in advance().
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "src/linalg/krylov/krylov_kernels.h"

namespace scorejet::linalg {

// A buffer that starts on a cache line and is not cleared.
template <typename T>
class KrylovBuffer {
 public:
  T* data() const { return data_; }
  int64_t size() const { return size_; }
  // Starts in memory that another keeps.
  void borrow(T* data, int64_t size);
  // At least `size` elements, of which the first `keep` stay.
  void reserve(int64_t size, int64_t keep);
  void clear();

 private:
  struct Free {
    void operator()(T* data) const { std::free(data); }
  };
  T* data_ = nullptr;
  int64_t size_ = 0;
  std::unique_ptr<T[], Free> storage_;  // null while borrowed
};

// One Krylov sequence: vectors v_1 .. v_{m+1} in lines of padded length.
template <typename T>
struct KrylovSequence {
  KrylovBuffer<T> vectors;
  std::vector<double> alpha, beta;
  double start_norm = 0;
  double scale = 0;  // running estimate of ‖A‖ that β is held against
  bool begun = false, invariant = false;

  int64_t size() const { return static_cast<int64_t>(alpha.size()); }
};

// diag(a) + F Fᵀ of one chain, as padded rows of T.
template <typename T>
class KrylovChain {
 public:
  KrylovChain(int64_t dim, int64_t rank) : dim_(dim), rank_(rank), length_(padded(dim)) {}

  // a [D]; F's element (i, k) at factor[i along + k across]. F is used in place where it lies as
  // padded rows already, as a network writes it. S is float or double.
  template <typename S>
  void load(const S* diagonal, const S* factor, int64_t along, int64_t across);

  // The sequence's v_1 = start/‖start‖, with room for `target` vectors; start [D], `step` apart.
  template <typename S>
  void begin(KrylovSequence<T>& sequence, const S* start, int64_t step, int64_t target) const;

  // One Lanczos step of one or two sequences, which share a pass over F. Each needs room for
  // size() + 2 vectors.
  void advance(KrylovSequence<T>* const* due, int count) const;

 private:
  int64_t dim_, rank_, length_;
  const T* rows_ = nullptr;  // Fᵀ: r rows
  int64_t stride_ = 0;
  KrylovBuffer<T> row_storage_, diagonal_;
};

}  // namespace scorejet::linalg
