// Lanczos chain by chain: one chain's F (160 KB for D = 784, r = 50 in float32) stays in the cache
// over all its Krylov vectors, where a batched product would stream every chain's F from memory
// for each. Change the recurrence and its reorthogonalisation in advance().
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "scorejet/base/parallel.h"
#include "scorejet/linalg/krylov_kernels.h"
#include "scorejet/linalg/krylov_space.h"

namespace scorejet::linalg {
namespace {

constexpr int64_t kFirstCapacity = 16;  // vectors a sequence has room for at first

// A buffer that starts on a cache line and is not cleared.
template <typename T>
class Buffer {
 public:
  T* data() { return data_; }
  int64_t size() const { return size_; }
  // Starts in memory that another keeps.
  void borrow(T* data, int64_t size) {
    data_ = data;
    size_ = size;
  }
  // At least `size` elements, of which the first `keep` stay.
  void reserve(int64_t size, int64_t keep) {
    if (size <= size_) return;
    at::Tensor larger = at::empty({size}, c10::CppTypeToScalarType<T>::value);
    if (keep > 0) std::copy_n(data_, keep, larger.data_ptr<T>());
    storage_ = larger;
    data_ = larger.data_ptr<T>();
    size_ = size;
  }
  void clear() {
    storage_.reset();
    borrow(nullptr, 0);
  }

 private:
  T* data_ = nullptr;
  int64_t size_ = 0;
  at::Tensor storage_;  // undefined while borrowed
};

// One Krylov sequence: vectors v_1 .. v_{m+1} in lines of padded length.
template <typename T>
struct Sequence {
  Buffer<T> vectors;
  std::vector<double> alpha, beta;
  double start_norm = 0;
  double scale = 0;  // running estimate of ‖A‖ that β is held against
  bool begun = false, invariant = false;

  int64_t size() const { return static_cast<int64_t>(alpha.size()); }
};

// What one thread needs of the chain it works on.
template <typename T>
struct Chain {
  const T* rows = nullptr;  // Fᵀ: r rows
  int64_t stride = 0;
  const T* diagonal = nullptr;  // padded
  Buffer<T> row_storage, diagonal_storage;
};

template <typename T>
class CpuKrylov : public KrylovSpace {
 public:
  CpuKrylov(const SymmetricOperator& op, const at::Tensor& v)
      : diagonal_(op.diagonal_part().contiguous()),
        factor_(op.factor()),
        start_(v),
        columns_(v.size(2)),
        dim_(op.dim()),
        rank_(op.rank()),
        length_(padded(op.dim())),
        sequences_(static_cast<size_t>(op.batch() * v.size(2))) {
    // One block for what most sequences need: an allocation each is a few percent of a step.
    const int64_t each = (std::min(kFirstCapacity, dim_) + 1) * length_;
    slab_ = at::empty({static_cast<int64_t>(sequences_.size()) * each},
                      c10::CppTypeToScalarType<T>::value);
    for (size_t p = 0; p < sequences_.size(); ++p) {
      sequences_[p].vectors.borrow(slab_.data_ptr<T>() + static_cast<int64_t>(p) * each, each);
    }
  }

  void grow(const std::vector<int64_t>& sizes) override {
    AT_DISPATCH_FLOATING_TYPES(factor_.scalar_type(), "krylov_grow", [&] {
      base::parallel_for(factor_.size(0), grain(), [&](int64_t begin, int64_t end) {
        Chain<T> chain;
        for (int64_t b = begin; b < end; ++b) {
          bool loaded = false;
          for (;;) {
            // Columns that still grow, two at a time: they share a pass over F.
            Sequence<T>* due[2];
            int count = 0;
            for (int64_t j = 0; j < columns_ && count < 2; ++j) {
              Sequence<T>& s = sequences_[static_cast<size_t>(b * columns_ + j)];
              const int64_t target = std::min(sizes[static_cast<size_t>(b * columns_ + j)], dim_);
              if (!s.begun) begin_sequence<scalar_t>(s, b, j, target);
              if (s.invariant || s.size() >= target) continue;
              if (s.vectors.size() < (target + 1) * length_) {
                s.vectors.reserve((std::min(2 * target, dim_) + 1) * length_,
                                  (s.size() + 1) * length_);
              }
              due[count++] = &s;
            }
            if (count == 0) break;
            if (!loaded) load<scalar_t>(chain, b);
            loaded = true;
            advance(chain, due, count);
          }
        }
      });
    });
  }

  int64_t size(int64_t pair) const override { return at(pair).size(); }
  double start_norm(int64_t pair) const override { return at(pair).start_norm; }
  const double* alpha(int64_t pair) const override { return at(pair).alpha.data(); }
  const double* beta(int64_t pair) const override { return at(pair).beta.data(); }

  void combine(const std::vector<std::vector<double>>& coefficients, at::Tensor& values) override {
    AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "krylov_combine", [&] {
      auto out = values.accessor<scalar_t, 3>();
      const KrylovKernels<T>& kernels = krylov_kernels<T>();
      base::parallel_for(factor_.size(0), grain(), [&](int64_t begin, int64_t end) {
        std::vector<T> sum(static_cast<size_t>(length_));
        for (int64_t pair = begin * columns_; pair < end * columns_; ++pair) {
          const std::vector<double>& weights = coefficients[static_cast<size_t>(pair)];
          if (weights.empty()) continue;
          Sequence<T>& s = sequences_[static_cast<size_t>(pair)];
          std::fill(sum.begin(), sum.end(), T(0));
          for (size_t k = 0; k < weights.size(); ++k) {
            const T weight = static_cast<T>(weights[k]);
            kernels.add(weight, s.vectors.data() + static_cast<int64_t>(k) * length_, length_,
                        sum.data());
          }
          const int64_t b = pair / columns_, j = pair % columns_;
          for (int64_t i = 0; i < dim_; ++i) {
            out[b][i][j] = static_cast<scalar_t>(sum[static_cast<size_t>(i)]);
          }
          s.vectors.clear();
        }
      });
    });
  }

 private:
  const Sequence<T>& at(int64_t pair) const { return sequences_[static_cast<size_t>(pair)]; }

  // Chains a thread takes at least: enough that starting it does not show.
  int64_t grain() const { return 1 + (1 << 16) / (dim_ * (rank_ + 8)); }

  template <typename S>
  void begin_sequence(Sequence<T>& s, int64_t b, int64_t j, int64_t target) const {
    s.vectors.reserve((target + 1) * length_, 0);
    T* v = s.vectors.data();
    const S* from = start_.data_ptr<S>() + b * start_.stride(0) + j * start_.stride(2);
    const int64_t step = start_.stride(1);
    for (int64_t i = 0; i < dim_; ++i) v[i] = static_cast<T>(from[i * step]);
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

  // F's columns as padded rows of T: in place where they lie so already, as a network writes them.
  template <typename S>
  void load(Chain<T>& chain, int64_t b) const {
    const S* a = diagonal_.data_ptr<S>() + b * dim_;
    const S* f = factor_.data_ptr<S>() + b * factor_.stride(0);
    const int64_t along = factor_.stride(1), across = factor_.stride(2);
    chain.diagonal_storage.reserve(length_, 0);
    std::copy_n(a, dim_, chain.diagonal_storage.data());
    std::fill_n(chain.diagonal_storage.data() + dim_, length_ - dim_, T(0));
    chain.diagonal = chain.diagonal_storage.data();
    if constexpr (std::is_same_v<S, T>) {
      if (along == 1 && length_ == dim_) {
        chain.rows = f;
        chain.stride = across;
        return;
      }
    }
    chain.row_storage.reserve(std::max<int64_t>(rank_, 1) * length_, 0);
    T* rows = chain.row_storage.data();
    constexpr int64_t kTile = 16;  // rows of F whose cache lines are held while columns are read
    for (int64_t i0 = 0; i0 < dim_; i0 += kTile) {
      const int64_t i1 = std::min(dim_, i0 + kTile);
      for (int64_t k = 0; k < rank_; ++k) {
        for (int64_t i = i0; i < i1; ++i) {
          rows[k * length_ + i] = static_cast<T>(f[i * along + k * across]);
        }
      }
    }
    for (int64_t k = 0; k < rank_; ++k) {
      std::fill(rows + k * length_ + dim_, rows + (k + 1) * length_, T(0));
    }
    chain.rows = rows;
    chain.stride = length_;
  }

  // One Lanczos step of one or two sequences of the same chain. The local three-term recurrence
  // comes first and takes out what is large; the whole basis then takes out what rounding left.
  // That is enough unless the vector shrinks: then the basis is taken out again (Daniel et al.
  // 1976).
  void advance(const Chain<T>& chain, Sequence<T>* const* due, int count) const {
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
      kernels.start(chain.diagonal, v[c], beta, before, length_, w[c]);
    }
    kernels.add_gram(chain.rows, rank_, chain.stride, length_, count, v, w);
    for (int c = 0; c < count; ++c) {
      Sequence<T>& s = *due[c];
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

  at::Tensor diagonal_, factor_, start_, slab_;
  int64_t columns_, dim_, rank_, length_;
  std::vector<Sequence<T>> sequences_;
};

}  // namespace

std::unique_ptr<KrylovSpace> make_cpu_krylov(const SymmetricOperator& op, const at::Tensor& v,
                                             at::ScalarType type) {
  if (type == at::kFloat) return std::make_unique<CpuKrylov<float>>(op, v);
  return std::make_unique<CpuKrylov<double>>(op, v);
}

}  // namespace scorejet::linalg
