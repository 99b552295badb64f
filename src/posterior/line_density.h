// The density of largest entropy on an interval with given moments, for one line, on plain numbers
// (marginal.h has the batch). Change its quadrature, its solver and its stopping here.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

namespace scorejet::posterior {

// Why no density on (lower, upper) has these cumulants (mean, variance and up to two more), as the
// second half of an error message; empty when one has.
// Math: with μ_j the standardised moments, positive definiteness of the Hankel matrices of μ and of
// (u − a)(b − u) μ (even order) or of (u − a) μ and (b − u) μ (odd order): necessary and sufficient
// on an interval; kurtosis > skewness² + 1 is one of them. See: Krein, Nudelman 1977, chapter III.
std::string why_impossible(std::span<const double> cumulants, double lower, double upper);

// p(t) = exp(Σ_{j<=n} λ_j u^j) on [lower, upper], u = (t − mean)/sd, whose first n = 2, 3 or 4
// cumulants are the given ones: positive and normalised whatever the fit.
// Math: λ minimises the convex log Z(λ) − Σ λ_j μ_j by Newton's method with backtracking;
// integrals by Gauss-Legendre rules of eight nodes on 64 panels. The residual is taken anew on
// twice as many, so that a density too narrow for the quadrature does not pass as converged; then
// the panels are doubled, up to 512.
// Where the moments call for tails heavier than a Gaussian's the density rises again at the ends of
// the interval: no density of this form decays there (Junk 1998).
// Cost: half a millisecond, a few where hard. See: Mead, Papanicolaou 1984; Jaynes 1957.
class LineDensity {
 public:
  // Expects what why_impossible() accepts.
  LineDensity(std::span<const double> cumulants, double lower, double upper);

  double pdf(double t) const;                    // 0 outside the interval
  double cdf(double t) const;                    // 0 and 1 outside
  double quantile(double p) const;               // for p in [0, 1]
  std::array<double, 4> cumulants() const;       // of this density itself, by quadrature
  double residual() const { return residual_; }  // largest |E u^j − μ_j| / max(1, |μ_j|)
  bool converged() const;

 private:
  void minimise(const std::vector<double>& targets, int panels);
  double exponent(double u) const;

  double centre_, scale_, lower_, upper_;  // u = (t − centre)/scale; the interval in u
  std::vector<double> lambda_;             // λ_1 .. λ_n
  int panels_ = 0;                         // of the quadrature below
  double log_normaliser_ = 0;              // log ∫ exp(Σ λ_j u^j) du
  std::vector<double> cumulative_;         // mass before each panel, and 1
  std::array<double, 5> moments_{};        // E u^j of this density
  double residual_ = 0;
};

}  // namespace scorejet::posterior
