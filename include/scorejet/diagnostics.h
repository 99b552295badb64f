// How far to trust the draws of Markov chains: R-hat, effective sample sizes, autocorrelation; and
// where chains have been, against what is known: modes, and another sample. Change an estimator in
// diagnostics.cc (one function each), a comparison in comparison.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace scorejet::sampling {

// One number a coordinate, [D] float64. NaN where it does not exist (see summarise).
struct ChainSummary {
  at::Tensor mean, sd;   // over all draws of all chains; sd with C N - 1
  at::Tensor rhat;       // the larger of the bulk's and the folded draws'; good below 1.01
  at::Tensor ess_bulk;   // of the rank-normalised draws: speaks for means and medians
  at::Tensor ess_tail;   // the smaller one of the 5 % and 95 % quantiles'
  at::Tensor ess_mean;   // of the draws as they are
  at::Tensor tau;        // integrated autocorrelation time S / ess_mean, in draws
  at::Tensor mcse_mean;  // standard error of the mean, sd / sqrt(ess_mean)
};

// Convergence diagnostics of chains, every coordinate by itself, in float64.
// Shapes: draws [C, N, D] (chains, draws, coordinates) or [C, N], then D = 1; any device.
// Math: each chain is split in halves of floor(N/2) draws (the middle one of an odd N is dropped).
//   Rank normalisation: z = Φ⁻¹((r − 3/8)/(S + 1/4)), r the rank among all S draws, the average
//   over ties. R-hat² = ((n−1)/n W + B)/W of z, W and B the variance within and between halves of
//   n,, and of z of |x − median|. ESS = S / τ, τ = −1 + 2 Σ ρ_t with Geyer's initial monotone
//   positive sequence of ρ_t and τ >= 1/log10 S.
// NaN: everything but mean and sd of a coordinate that is constant or holds a NaN or an infinity;
//   R-hat also when the folded draws are constant (two values, equally often), the tail ESS when a
//   quantile's indicator is; R-hat for N < 4 and each ESS for N < 12. All as in R's posterior, but
//   for that last bound: it returns S / 2 whatever the draws are when a half has 3 to 5 of them.
// Errors: std::invalid_argument for another shape or no draws.
// Cost: O(C N log(C N)) a coordinate; about 0.4 GB of working memory however large D is.
// See: Vehtari, Gelman, Simpson, Carpenter, Bürkner 2021, Bayesian Analysis 16(2), sections 3, 4.
ChainSummary summarise(const at::Tensor& draws);

// The autocorrelation ρ_0 ... ρ_L that τ above is the sum of, of whole chains, [D, L + 1] float64.
// Math: ρ_t = 1 − (W − mean over chains of the autocovariance at t) / var⁺, ρ_0 = 1; chains that
//   disagree have ρ_t > 0 at every t. NaN for coordinates that are constant or not finite.
// Errors: std::invalid_argument unless 0 <= max_lag < N.
at::Tensor autocorrelation(const at::Tensor& draws, int64_t max_lag);

// The index of the centre nearest to each draw, [C, N] int64.
// Shapes: draws [C, N, D], centres [M, D]. Errors: std::invalid_argument for other shapes or no
// centre; std::domain_error for NaN or infinite centres. A draw that is not finite gets -1.
at::Tensor nearest_centre(const at::Tensor& draws, const at::Tensor& centres);

struct Occupancy {
  at::Tensor fractions;          // [M] float64: the share of the draws in each mode
  double entropy = 0;            // -Σ f log f, nats: log M when all modes are visited alike
  at::Tensor num_transitions;    // [C] int64: consecutive draws in different modes
  at::Tensor transition_counts;  // [M, M] int64: draws in mode i followed by one in mode j
};

// How chains share their time between M modes.
// Shapes: labels [C, N] integers in 0..M-1, or -1 for a draw of no mode, which is left out of the
// fractions and of the transitions on both sides of it. Errors: std::invalid_argument for another
// shape or type, num_modes < 1; std::domain_error for other labels, or when every one is -1.
Occupancy occupancy(const at::Tensor& labels, int64_t num_modes);

struct EnergyDistance {
  double distance = 0;     // unbiased; near zero, also below it, for equal distributions
  double coefficient = 0;  // 0 (equal samples) to 1
};

// The energy distance between the distributions of two samples.
// Shapes: x [N, D], y [M, D], N and M >= 2; float64 inside.
// Math: E = 2 E|X − Y| − E|X − X'| − E|Y − Y'| >= 0, zero only for equal distributions. `distance`
//   leaves out the pairs of a point with itself (U-statistic); `coefficient` is E / (2 E|X − Y|)
//   with them (V-statistic). Units: `distance` has those of x.
// Errors: std::invalid_argument for shapes; std::domain_error for NaN or infinity.
// Cost: O((N + M)² D) time; 64 MiB of distances at a time.
// See: Székely, Rizzo 2013, Journal of Statistical Planning and Inference 143(8), 1249-1272.
EnergyDistance energy_distance(const at::Tensor& x, const at::Tensor& y);

}  // namespace scorejet::sampling
