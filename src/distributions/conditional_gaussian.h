// Densities of the plane whose first coordinate is Gaussian and whose second is Gaussian given the
// first: the funnel and the banana. Add one: a class that gives the log-density of the pair with
// noise on the second coordinate alone.
#pragma once

#include "src/distributions/planar_density.h"

namespace scorejet::distributions {

// u from N(0, spread²), y given u from N(m(u), v(u)).
//
// The noise on y only widens v, so what remains is one integral over the noise ε on u:
//   p_σ(u, y) = ∫ N(ε; 0, 1) q_σ(u − σε, y) dε,  q_σ(u, y) = N(u; 0, spread²) N(y; m(u), v(u) +
//   σ²).
// The nodes ε move with u, so that the derivatives fall on the smooth q_σ and never on the noise:
// nothing is divided by σ, no digits are lost as σ → 0 (a mixture over fixed latents, or Tweedie's
// (E[u|·] − u)/σ², loses σ⁻ⁿ of them at order n), and at σ = 0 the formula is the closed form.
class ConditionalGaussian : public PlanarDensity {
 public:
  at::Tensor sample(int64_t count, at::Generator generator) const override;

 protected:
  // spread > 0; `refinement` multiplies the number of nodes, 256. Errors: std::domain_error.
  ConditionalGaussian(double spread, int64_t refinement);

  // log q_σ and its derivatives in (u, y) up to `order`. Shapes: u [B, K]; y, sigma [B, 1].
  virtual PlanarTerms joint(const at::Tensor& u, const at::Tensor& y, const at::Tensor& sigma,
                            int order) const = 0;
  // An upper bound, over u, of log N(y; m(u), v(u) + σ²).
  virtual at::Tensor ceiling(const at::Tensor& y, const at::Tensor& sigma) const = 0;
  // Draws of y given u [count].
  virtual at::Tensor draw_second(const at::Tensor& u, const at::Tensor& normal) const = 0;

  // log N(u; 0, spread²) into terms that hold the rest of log q_σ.
  void add_prior(const at::Tensor& u, PlanarTerms& terms) const;

  int64_t num_terms() const override { return num_nodes_; }
  PlanarTerms terms(const at::Tensor& x, const at::Tensor& sigma, int order) const override;

 private:
  struct Nodes {
    at::Tensor epsilon;     // [B, K], equally spaced in each row
    at::Tensor log_weight;  // log(N(ε; 0, 1) dε), [B, K]
  };
  Nodes nodes(const at::Tensor& x, const at::Tensor& sigma) const;

  double spread_;
  int64_t num_nodes_;
};

// Neal's funnel (2003) in the plane: u from N(0, spread²), y given u from N(0, e^u). With spread 3
// the mouth is as wide as 20 and the neck as narrow as 0.05 at two standard deviations.
class Funnel : public ConditionalGaussian {
 public:
  explicit Funnel(double spread = 3, int64_t refinement = 1)
      : ConditionalGaussian(spread, refinement) {}

 protected:
  PlanarTerms joint(const at::Tensor& u, const at::Tensor& y, const at::Tensor& sigma,
                    int order) const override;
  at::Tensor ceiling(const at::Tensor& y, const at::Tensor& sigma) const override;
  at::Tensor draw_second(const at::Tensor& u, const at::Tensor& normal) const override;
};

// Haario's banana (1999): u from N(0, spread²), y given u from N(bend (u² − spread²), 1).
class Banana : public ConditionalGaussian {
 public:
  explicit Banana(double spread = 2, double bend = 0.5, int64_t refinement = 1);

 protected:
  PlanarTerms joint(const at::Tensor& u, const at::Tensor& y, const at::Tensor& sigma,
                    int order) const override;
  at::Tensor ceiling(const at::Tensor& y, const at::Tensor& sigma) const override;
  at::Tensor draw_second(const at::Tensor& u, const at::Tensor& normal) const override;

 private:
  at::Tensor mean(const at::Tensor& u) const;

  double centre_, bend_;  // bend (u² − centre)
};

}  // namespace scorejet::distributions
