// Curves and point sets of the plane under an isotropic Gaussian blur: eight Gaussians, two moons,
// Swiss roll, pinwheel, rings. The noisy density is a mixture of Gaussians at quadrature nodes
// along the curve; samples come from the curve itself. Add a curve: a function here.
#pragma once

#include <functional>
#include <memory>

#include "src/distributions/planar_density.h"

namespace scorejet::distributions {

// ∫ N(x; c(t), (noise² + sigma²) I) w(t) dt as Σ_k w_k N(x; c_k, (noise² + sigma²) I).
class BlurredCurve : public PlanarDensity {
 public:
  using Draw = std::function<at::Tensor(int64_t count, at::Generator& generator)>;

  // weights [K] (positive, sum 1), nodes c_k [K, 2], noise > 0 in units of x, and what draws points
  // of the curve without blur, [count, 2]. Errors: std::invalid_argument for shapes;
  // std::domain_error for values.
  BlurredCurve(at::Tensor weights, at::Tensor nodes, double noise, Draw draw);

  at::Tensor sample(int64_t count, at::Generator generator) const override;

  const at::Tensor& weights() const { return weights_; }
  const at::Tensor& nodes() const { return nodes_; }

 protected:
  int64_t num_terms() const override { return nodes_.size(0); }
  PlanarTerms terms(const at::Tensor& x, const at::Tensor& sigma, int order) const override;

 private:
  at::Tensor weights_, nodes_;
  double noise_;
  Draw draw_;
};

// The standard ones, of the sizes used with continuous flows (Grathwohl et al. 2019, toy_data):
// coordinates within about 4. `noise` is the standard deviation of the blur. The nodes are dense
// enough for log p, s1, s2 and s3 to 1e-10 at every sigma >= 0 within a distance of 10 of the
// origin; `refinement` multiplies their number. Errors: std::domain_error for noise <= 0,
// refinement < 1.

// Eight points on the circle of radius 4/√2.
std::unique_ptr<BlurredCurve> eight_gaussians(double noise = 0.35355339059327379);
// Half circles of radius 2, 2 (cos t, sin t) − (1, 0.2) and (1, 0.8) − 2 (cos t, sin t), t uniform
// in (0, π).
std::unique_ptr<BlurredCurve> two_moons(double noise = 0.2, int64_t refinement = 1);
// t (cos t, sin t)/5, t uniform in (3π/2, 9π/2).
std::unique_ptr<BlurredCurve> swiss_roll(double noise = 0.2, int64_t refinement = 1);
// Five arms: 2r (cos a, sin a), a = 2πk/5 + e^r/4, r from N(1, 0.3²) cut at five standard
// deviations. Johnson et al. (2016) blur across the arm alone, which at sigma = 0 leaves a density
// that is infinite where an arm folds; here the blur is isotropic, of their tangential size.
std::unique_ptr<BlurredCurve> pinwheel(double noise = 0.2, int64_t refinement = 1);
// Circles of radii 0.75, 1.5, 2.25 and 3, each with a quarter of the mass.
std::unique_ptr<BlurredCurve> rings(double noise = 0.08, int64_t refinement = 1);

}  // namespace scorejet::distributions
