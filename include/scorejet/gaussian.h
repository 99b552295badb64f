// The Gaussian posterior N(mean, covariance) of the clean x given a noisy one: error bars,
// intervals, draws, distances and scores of what turned out to be true. Add a quantity of it here.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "scorejet/score_field.h"
#include "scorejet/symmetric_operator.h"

namespace scorejet::posterior {

struct Interval {
  at::Tensor lower, upper;  // [B, D]
};

// A batch of Gaussians, one a row. A value: copying shares the tensors. What is a sum over
// coordinates (distances, likelihoods, entropies; [B]) is worked and returned in float64; the rest
// keeps the mean's type. Nothing of size D × D is made unless the covariance is dense.
class Gaussian {
 public:
  // mean [B, D]. Errors: std::invalid_argument for shapes; std::domain_error for NaN or infinity,
  // naming the row. The covariance may have negative parts (a free parameterisation): what cannot
  // be had from such a one is refused by each operation, never clipped.
  Gaussian(at::Tensor mean, linalg::SymmetricOperator covariance);

  // N(x̃ + σ² s1, σ² I + σ⁴ s2), by Tweedie. Shapes: x [B, D]; sigma [B] or a scalar; a jet of order
  // 2 or more. Errors: std::invalid_argument for shapes or a jet without s2.
  static Gaussian from_jet(const at::Tensor& x, const at::Tensor& sigma, const score::Jet& jet);

  int64_t batch() const { return mean_.size(0); }
  int64_t dim() const { return mean_.size(1); }
  const at::Tensor& mean() const { return mean_; }  // [B, D]
  const linalg::SymmetricOperator& covariance() const { return covariance_; }
  const at::Tensor& variance() const { return variance_; }  // [B, D], as it is

  // √variance, [B, D]. Errors: std::domain_error for a negative variance, naming the row.
  at::Tensor standard_deviation() const;

  // The central interval of each coordinate that holds it with probability `level`, mean ± z sd.
  // Errors: std::domain_error unless 0 < level < 1; as standard_deviation().
  Interval interval(double level) const;

  // Draws [B, num, D]; row i of the batch draws by (seed, first_row + i).
  // Math: mean + √d ∘ ε₁ + F ε₂ for a covariance diag(d) + F Fᵀ; by eigh for a dense one.
  // Errors: std::invalid_argument for num < 0; std::domain_error for a negative d or eigenvalue.
  at::Tensor sample(int64_t num, uint64_t seed, int64_t first_row = 0) const;

  // (x − mean)ᵀ Cov⁻¹ (x − mean), [B]: chi-squared with D degrees of freedom where the posterior is
  // right. Errors (these three): std::invalid_argument for shapes; std::domain_error for NaN in x,
  // or as linalg::Factorisation. Cost: O(B D r²); dense O(B D³).
  at::Tensor mahalanobis_squared(const at::Tensor& x) const;
  at::Tensor log_likelihood(const at::Tensor& x) const;  // log N(x; mean, Cov), [B]. Units: nats.
  at::Tensor entropy() const;                            // ½ log det(2πe Cov), [B]. Units: nats.

  // The continuous ranked probability score of each coordinate, [B, D], in units of x; lower is
  // better, and |x − mean| where the variance is zero.
  // Math: sd (z (2Φ(z) − 1) + 2φ(z) − 1/√π), z = (x − mean)/sd.
  // Errors: as standard_deviation(). See: Gneiting, Raftery 2007, equation 21 and section 4.2.
  at::Tensor crps(const at::Tensor& x) const;

  // The same mean, the covariance times a temperature: one for all, or one a row, [B].
  // Errors: std::domain_error unless positive and finite.
  Gaussian scaled(double temperature) const;
  Gaussian scaled(const at::Tensor& temperature) const;

  // The posterior of some coordinates alone, in the order of `indices` (int64, [m], distinct): its
  // entropy, components and draws are then those of the region. Errors: std::invalid_argument for
  // type, shape, coordinates out of range or repeated.
  Gaussian region(const at::Tensor& indices) const;

 private:
  at::Tensor residual(const char* where, const at::Tensor& x) const;

  at::Tensor mean_;
  linalg::SymmetricOperator covariance_;
  at::Tensor variance_;
};

// Where a bool mask is true, as coordinates of an image whose every channel has the mask's shape
// ([H, W], or anything for one channel). Errors: std::invalid_argument for a mask that is not bool
// or selects nothing.
at::Tensor mask_indices(const at::Tensor& mask, int64_t channels = 1);

// The coordinates of a box, over all channels. image_shape {C, H, W}. Errors: std::invalid_argument
// for a box that is empty or leaves the image.
at::Tensor box_indices(at::IntArrayRef image_shape, int64_t top, int64_t left, int64_t height,
                       int64_t width);

}  // namespace scorejet::posterior
