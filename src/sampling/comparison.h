// Where chains have been, against what is known: the modes they visit and the distance to another
// sample. Change a measure in comparison.cc; what needs the chains alone is in diagnostics.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace scorejet::sampling {

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
