// Clean samples with their noise, and the points that a network sees of them. Another set of points
// (two pairs, say) is a change to Evaluations: all else asks it for the parts by name.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace scorejet::training {

// Clean samples with the noise drawn for them.
struct NoisyBatch {
  at::Tensor x, z;   // [B, D]
  at::Tensor sigma;  // [B]

  int64_t size() const { return x.size(0); }
};

// Points at which the network is evaluated, stacked as one batch: x + σz (plus), then x − σz
// (minus) where there is a pair, then x (clean) where that is looked at. plus() to noisy() are
// views of anything stacked alike: a tensor, a symmetric operator or tensor of these points.
class Evaluations {
 public:
  enum class Points { kPlus, kPair, kPairAndClean };

  Evaluations(const NoisyBatch& batch, Points points);

  at::Tensor x, sigma;  // [N, D], [N]

  bool has_pair() const { return points_ != Points::kPlus; }
  bool has_clean() const { return points_ == Points::kPairAndClean; }
  int64_t num_copies() const { return has_pair() ? 2 : 1; }  // noisy points a sample

  template <class Values>
  Values plus(const Values& values) const {
    return rows(values, 0, size_);
  }
  template <class Values>
  Values minus(const Values& values) const {
    return rows(values, size_, size_);
  }
  template <class Values>
  Values clean(const Values& values) const {
    return rows(values, 2 * size_, size_);
  }
  template <class Values>
  Values noisy(const Values& values) const {  // plus and minus
    return rows(values, 0, num_copies() * size_);
  }

  // From something a sample, [B] or [B, D], to the same at each of its noisy points, [N', ...].
  at::Tensor repeated(const at::Tensor& values) const;
  // From something a noisy point, [N'], to its mean a sample, [B].
  at::Tensor mean_of_copies(const at::Tensor& values) const;

 private:
  static at::Tensor rows(const at::Tensor& values, int64_t first, int64_t count) {
    return values.narrow(0, first, count);
  }
  template <class Operator>
  static Operator rows(const Operator& values, int64_t first, int64_t count) {
    return values.slice(first, count);
  }

  Points points_;
  int64_t size_;  // samples
};

}  // namespace scorejet::training
