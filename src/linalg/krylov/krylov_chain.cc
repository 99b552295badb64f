#include "src/linalg/krylov/krylov_chain.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <numeric>
#include <type_traits>

namespace scorejet::linalg {

template <typename T>
void KrylovBuffer<T>::borrow(T* data, int64_t size) {
  data_ = data;
  size_ = size;
}

template <typename T>
void KrylovBuffer<T>::reserve(int64_t size, int64_t keep) {
  constexpr size_t kCacheLine = 64;
  if (size <= size_) return;
  const size_t bytes = static_cast<size_t>(size) * sizeof(T);
  void* memory = std::aligned_alloc(kCacheLine, (bytes + kCacheLine - 1) / kCacheLine * kCacheLine);
  if (memory == nullptr) throw std::bad_alloc();
  std::unique_ptr<T[], Free> larger(static_cast<T*>(memory));
  if (keep > 0) std::copy_n(data_, keep, larger.get());
  storage_ = std::move(larger);
  data_ = storage_.get();
  size_ = size;
}

template <typename T>
void KrylovBuffer<T>::clear() {
  storage_.reset();
  borrow(nullptr, 0);
}

template <typename T>
template <typename S>
void KrylovChain<T>::load(const S* diagonal, const S* factor, int64_t along, int64_t across) {
  diagonal_.reserve(length_, 0);
  std::copy_n(diagonal, dim_, diagonal_.data());
  std::fill_n(diagonal_.data() + dim_, length_ - dim_, T(0));
  if constexpr (std::is_same_v<S, T>) {
    if (along == 1 && length_ == dim_) {
      rows_ = factor;
      stride_ = across;
      return;
    }
  }
  row_storage_.reserve(std::max<int64_t>(rank_, 1) * length_, 0);
  T* rows = row_storage_.data();
  constexpr int64_t kTile = 16;  // rows of F whose cache lines are held while columns are read
  for (int64_t i0 = 0; i0 < dim_; i0 += kTile) {
    const int64_t i1 = std::min(dim_, i0 + kTile);
    for (int64_t k = 0; k < rank_; ++k) {
      for (int64_t i = i0; i < i1; ++i) {
        rows[k * length_ + i] = static_cast<T>(factor[i * along + k * across]);
      }
    }
  }
  for (int64_t k = 0; k < rank_; ++k) {
    std::fill(rows + k * length_ + dim_, rows + (k + 1) * length_, T(0));
  }
  rows_ = rows;
  stride_ = length_;
}

template <typename T>
template <typename S>
void KrylovChain<T>::begin(KrylovSequence<T>& s, const S* start, int64_t step,
                           int64_t target) const {
  s.vectors.reserve((target + 1) * length_, 0);
  T* v = s.vectors.data();
  for (int64_t i = 0; i < dim_; ++i) v[i] = static_cast<T>(start[i * step]);
  std::fill(v + dim_, v + length_, T(0));
  double squares[8] = {};  // in float64: v may be as small as float32 goes
  for (int64_t i = 0; i < length_; i += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) {
      squares[lane] += static_cast<double>(v[i + lane]) * static_cast<double>(v[i + lane]);
    }
  }
  s.start_norm = std::sqrt(std::accumulate(squares, squares + 8, 0.0));
  const double inverse = s.start_norm > 0 ? 1 / s.start_norm : 0;
  for (int64_t i = 0; i < length_; ++i) v[i] = static_cast<T>(v[i] * inverse);
  s.begun = true;
  s.invariant = s.start_norm == 0;
}

// The local three-term recurrence comes first and takes out what is large; the whole basis then
// takes out what rounding left. That is enough unless the vector shrinks: then the basis is taken
// out again (Daniel et al. 1976).
template <typename T>
void KrylovChain<T>::advance(KrylovSequence<T>* const* due, int count) const {
  const KrylovKernels<T>& kernels = krylov_kernels<T>();
  const T* v[2] = {};
  T* w[2] = {};
  for (int c = 0; c < count; ++c) {
    const int64_t m = due[c]->size();  // v_{m+1} is the last vector so far
    T* last = due[c]->vectors.data() + m * length_;
    const T* before = m > 0 ? last - length_ : last;
    const T beta = m > 0 ? static_cast<T>(due[c]->beta.back()) : T(0);
    v[c] = last;
    w[c] = last + length_;
    kernels.start(diagonal_.data(), v[c], beta, before, length_, w[c]);
  }
  kernels.add_gram(rows_, rank_, stride_, length_, count, v, w);
  for (int c = 0; c < count; ++c) {
    KrylovSequence<T>& s = *due[c];
    const T alpha = kernels.dot(v[c], w[c], length_);
    double square = kernels.add(-alpha, v[c], length_, w[c]);
    s.scale = std::max(s.scale, std::abs(double{alpha}) + std::sqrt(square) +
                                    (s.beta.empty() ? 0.0 : s.beta.back()));
    s.alpha.push_back(alpha);
    const double tiny = 4 * double{std::numeric_limits<T>::epsilon()} * s.scale;
    for (int pass = 0; pass < 3; ++pass) {
      const double previous = square;
      kernels.orthogonalise(s.vectors.data(), s.size(), length_, w[c]);
      square = kernels.dot(w[c], w[c], length_);
      if (square > 0.5 * previous || square <= tiny * tiny) break;
    }
    double beta = std::sqrt(square);
    s.invariant = beta <= tiny || !std::isfinite(beta) || s.size() == dim_;
    if (s.invariant && std::isfinite(beta)) beta = 0;
    s.beta.push_back(beta);
    if (s.invariant) continue;
    kernels.scale(static_cast<T>(1 / beta), length_, w[c]);
  }
}

template class KrylovBuffer<float>;
template class KrylovBuffer<double>;
template class KrylovChain<float>;
template class KrylovChain<double>;
template void KrylovChain<float>::load(const float*, const float*, int64_t, int64_t);
template void KrylovChain<float>::load(const double*, const double*, int64_t, int64_t);
template void KrylovChain<double>::load(const float*, const float*, int64_t, int64_t);
template void KrylovChain<double>::load(const double*, const double*, int64_t, int64_t);
template void KrylovChain<float>::begin(KrylovSequence<float>&, const float*, int64_t,
                                        int64_t) const;
template void KrylovChain<float>::begin(KrylovSequence<float>&, const double*, int64_t,
                                        int64_t) const;
template void KrylovChain<double>::begin(KrylovSequence<double>&, const float*, int64_t,
                                         int64_t) const;
template void KrylovChain<double>::begin(KrylovSequence<double>&, const double*, int64_t,
                                         int64_t) const;

}  // namespace scorejet::linalg
