// The posterior along one direction, beyond its Gaussian: cumulants of v·x up to the fourth, and
// the density on the line that they imply. The fit of one line is line_density.h's.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "scorejet/score_field.h"

namespace scorejet::posterior {

class LineDensity;

// The first `order` cumulants of v·x given x̃, [B, order]: mean, variance, third and fourth.
// Math: κ1 = v·x̃ + σ² D_v, κ2 = σ²‖v‖² + σ⁴ D_v², κ3 = σ⁶ D_v³, κ4 = σ⁸ D_v⁴ of log p_σ at x̃. D_v,
// D_v² and D_v³ are v·s1, vᵀ s2 v and s3[v, v, v] as far as the field has them; further ones are
// exact derivatives along the line x̃ + t v of the last it has, by automatic differentiation.
// `source` bounds that order: 1 takes all from s1, whatever else the field has.
// Shapes: x [B, D]; sigma a scalar or [B]; v [B, D], of any length; order 1 to 4; source 1 to 3.
// Errors: std::invalid_argument for shapes, orders, or a score that autograd cannot differentiate
// as often as needed; std::domain_error for NaN. Cost: one evaluation and its derivatives by one
// number a row: each about doubles the graph. See: Meng et al. 2021; Manor, Michaeli 2024,
// theorem 2.
at::Tensor directional_cumulants(const score::ScoreField& field, const at::Tensor& x,
                                 const at::Tensor& sigma, const at::Tensor& v, int64_t order = 4,
                                 int64_t source = 3);

struct MaximumEntropyOptions {
  double half_width = 8;              // of the support, in standard deviations about the mean
  at::Tensor lower = {}, upper = {};  // bounds it must keep to, [B] or a scalar (a pixel's range)
};

// The density of largest entropy with the given first two, three or four cumulants, one a row:
// exp of a polynomial in t on a finite support, so positive and normalised. Two give a Gaussian,
// four can be skewed, heavy-tailed or bimodal. With a negative excess kurtosis its tails fall as
// exp(−c t⁴): good for quantiles, but a truth a few standard deviations out is a severe surprise
// to it, so that a mean log pdf is at the mercy of the fourth cumulant.
// Everything is float64 on the CPU inside; results have the type and device of the cumulants.
class MaximumEntropyDensity {
 public:
  // cumulants [B, n], n = 2, 3 or 4, as directional_cumulants() gives them.
  // Errors: std::invalid_argument for shapes and options; std::domain_error, naming the row, for
  // cumulants that no density on the support has (feasible() tells). A fit that did not converge is
  // returned. Cost: under a millisecond a row, rows in parallel.
  explicit MaximumEntropyDensity(const at::Tensor& cumulants,
                                 const MaximumEntropyOptions& options = {});

  // Which rows have a density: [B] bool. Learned cumulants need not. Errors: as above, shapes.
  static at::Tensor feasible(const at::Tensor& cumulants,
                             const MaximumEntropyOptions& options = {});

  // t [B] or [B, m], the result likewise. Zero outside the support; 0 and 1 for the cdf.
  at::Tensor pdf(const at::Tensor& t) const;
  at::Tensor cdf(const at::Tensor& t) const;
  // p [m], the same for every row -> [B, m]. Errors: std::domain_error unless 0 <= p <= 1.
  at::Tensor quantile(const at::Tensor& p) const;
  at::Tensor cumulants() const;  // the first four of these densities themselves, [B, 4]
  at::Tensor converged() const;  // [B] bool: residual below 1e-9
  at::Tensor residual() const;   // [B], float64: largest error of a standardised moment

 private:
  at::Tensor at_points(const at::Tensor& t,
                       const std::function<double(const LineDensity&, double)>& value) const;

  std::shared_ptr<const std::vector<LineDensity>> lines_;
  at::Tensor like_;  // empty, of the results' type and device
};

}  // namespace scorejet::posterior
