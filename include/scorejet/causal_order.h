// A causal order of the columns of a table, from causes to effects, by the curvature of its
// log-density. Change how the curvature is learned in causal_order(), how leaves are told in
// remove_leaves().
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace scorejet::causal {

// One variable found to be a leaf: none of those still there depends on it.
struct Stage {
  std::vector<int64_t> present;   // the variables still there
  std::vector<double> variances;  // of the diagonal entries of s2, one a present variable
  int64_t leaf = 0;               // the variable of the least
  double gap = 0;                 // the least but one over the least
};

struct CausalOrder {
  std::vector<int64_t> order;  // columns from causes to effects
  std::vector<Stage> stages;   // D − 1 of them, the last leaf of the order first
};

// The diagonal of the log-density's Hessian at the data, for the variables still there.
// [N, number present], the columns in the order of `present`.
using HessianDiagonal = std::function<at::Tensor(const std::vector<int64_t>& present)>;

// The order of `num_variables` variables, given the curvature: again and again the variable whose
// entry varies least over the data is taken away as a leaf.
// Math: x_j = f_j(parents) + N(0, s_j²) has ∂² log p/∂x_j² = −1/s_j² if j is a leaf, and else a
// function of x, unless its children's mechanisms have constant slopes in it. See: Rolland et al.
// 2022, lemma 1.
CausalOrder remove_leaves(int64_t num_variables, const HessianDiagonal& diagonal);

struct OrderOptions {
  double sigma = 0.4;         // noise of the denoising, in standard deviations of a column
  int64_t networks = 2;       // trained apart, their curvatures averaged: what differs is error
  int64_t steps = 1000;       // of training with all variables
  int64_t later_steps = 150;  // after each removal, from the weights of the stage before
  uint64_t seed = 0;
  // Steps done and steps in all, after each step, if set; never by two threads at once.
  std::function<void(int64_t done, int64_t total)> on_step = nullptr;
};

// remove_leaves() with a diagonal s2 learned by denoising on the standardised columns, so that
// their units tell nothing. `names` has a name a column, for errors. The answer depends on the data
// and the seed alone.
// Shapes: x [N, D], float64 or float32.
// Cost: networks (steps + (D − 2) later_steps) of training, the networks in parallel.
// Errors: std::invalid_argument for shapes, D < 2 or N < kMinRows; std::domain_error naming row and
// column of a NaN or an infinity, the column that is constant, or an option out of range.
CausalOrder causal_order(const at::Tensor& x, const std::vector<std::string>& names,
                         const OrderOptions& options);

constexpr int64_t kMinRows = 50;  // fewer say nothing about curvature

}  // namespace scorejet::causal
