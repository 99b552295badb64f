// The order-2 loss of one sample's s2 = diag(a) + B Bᵀ and its gradient, by blocks of coordinates
// that stay in the cache: what fused_hessian_loss.cc runs over a batch. Not for other use.
#pragma once

#include <cstdint>
#include <vector>

namespace scorejet::objectives {

struct Combination;  // factor_kernels.h

// Which term of the loss an evaluation enters (hessian_loss and hessian_loss_antithetic, in
// denoising.h); v = ±z or ±z + σ s1.
enum class HessianTerm {
  kProduct,       // ½‖h‖² + (tr h − vᵀhv)/σ², h = s2 + s1 s1ᵀ
  kCentred,       // the same with h = s2
  kProductClean,  // −(tr h − zᵀhz)/σ², h = s2 + s1 s1ᵀ
  kCentredClean   // −(tr ChC − zᵀChCz)/σ², h = s2, C = I + σ² s2 held constant
};

// One evaluation: pointers into the tensors.
struct HessianPoint {
  HessianTerm term;
  const float* diagonal;  // a, [D]
  const float* factor;    // B_dk at factor[d along + k across]; one of the two is 1
  int64_t along, across;
  const float *s1, *z;  // [D]
  float sigma;
  float sign;  // of z in v
};

class HessianSample {
 public:
  HessianSample(int64_t dim, int64_t rank);

  // Floats that the gradient needs of evaluate().
  int64_t coefficient_count(HessianTerm term) const;
  // The term's value. Writes `coefficients` unless it is null.
  double evaluate(const HessianPoint& point, float* coefficients);
  // scale times the gradient: in a [D], and in B, [r, D] where along is 1 and [D, r] elsewhere.
  void differentiate(const HessianPoint& point, const float* coefficients, float scale,
                     float* diagonal_gradient, float* factor_gradient);

 private:
  // Coordinates [begin, begin + length) of B, a and what is set beside B.
  void load(const HessianPoint& point, int64_t begin, int64_t length);
  double accumulate(const HessianPoint& point);
  double finish_pair(const HessianPoint& point, float* coefficients);
  double finish_product_clean(const HessianPoint& point, float* coefficients) const;
  double finish_centred_clean(const HessianPoint& point, float* coefficients);
  Combination factor_combination(const HessianPoint& point, const float* coefficients, float scale);
  void set_weights(const HessianPoint& point, int64_t padded);
  void differentiate_diagonal(const HessianPoint& point, int64_t length, float scale,
                              float* out) const;
  void store(const HessianPoint& point, int64_t begin, int64_t length, float* gradient) const;

  int64_t dim_, rank_;
  int64_t columns_;              // r, padded
  int64_t width_;                // of products_: r + 2, padded
  int64_t block_;                // coordinates at a time
  int64_t stride_;               // between rows
  std::vector<float> rows_;      // B's columns, then two vectors: v and s1, z and s1, or z and a z
  std::vector<float> weighted_;  // a times B's columns; in differentiate() the gradient's
  std::vector<float> products_, weighted_products_;  // of rows_, and of weighted_, with rows_
  std::vector<float> gram_, gram_squared_;           // BᵀB and its square, padded
  std::vector<float> a_, squares_, sums_, weight_, scale_, quadratic_;  // of a block's coordinates
};

}  // namespace scorejet::objectives
