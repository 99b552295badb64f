// Principal components of the posterior covariance of any ScoreField, with a second-order score or
// without. How the covariance is applied to vectors is here; the eigensolvers are linalg's.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "scorejet/score_field.h"

namespace scorejet::posterior {

struct ComponentsOptions {
  int64_t count = 3;             // K, eigenpairs a sample
  at::Tensor indices = {};       // int64 [m]: components of this region alone; undefined: all of x
  double tolerance = 1e-4;       // residual of each pair against the row's largest variance
  int64_t max_iterations = 100;  // blocks of Jacobian products (without s2)
  bool direct = true;            // take s2 where the field has one; false: differentiate its s1
  int64_t max_points = 64;       // points traced at once, rows times vectors: bounds the memory
  bool forward_only = false;     // for an s1 without a backward pass: differences of it (below)
};

struct Components {
  at::Tensor values;        // [B, K], variances of the posterior, descending
  at::Tensor vectors;       // [B, K, D], or [B, K, m] of a region; unit length, signs as in linalg
  double residual = 0;      // largest ‖C v − λ v‖ against the row's largest variance
  int64_t iterations = 0;   // Lanczos steps with s2, blocks without
  int64_t evaluations = 0;  // passes through the network a row: s1, and each J v and Jᵀ v
  bool converged = false;
  // Of forward_only: ‖difference taken − one of twice the step‖ against the former, the largest
  // over rows. The error of C v is a third of it where it is the step's, as much where it is
  // rounding.
  double difference_error = 0;
};

// The K leading eigenpairs of Cov[x | x̃] (of a region: of that block of it) at each x.
// Math: with s2, σ² I + σ⁴ s2 by Lanczos (eigh for a dense one). Without, C v = σ² (v + σ² S v)
// with S = ½ (J + Jᵀ), J = ∂s1/∂x of the field, exact by automatic differentiation, and block
// Krylov iteration (linalg/block_eigen.h). J of a learned s1 is not symmetric, while a covariance
// is: S is the symmetric matrix nearest to J, and what AutodiffField takes.
// Cost without s2: to 1e-3, ten to twelve blocks of K vectors on MNIST and seventeen to nineteen on
// CIFAR-10, a J v and a Jᵀ v for each vector; no D × D matrix.
// forward_only, as Manor and Michaeli do: J v = (s1(x + h v) − s1(x))/h, h = ε^⅓ σ with the
// rounding ε of x's type, one evaluation a vector, one vector after the other. J is known to a few
// digits and taken as symmetric, so that a tolerance below 1e-2 is seldom met: what was reached is
// `residual`. Shapes: x [B, D]; sigma a scalar or [B]. Errors: std::invalid_argument for shapes,
// options, or an s1 that autograd cannot differentiate (twice, for J v); std::domain_error for NaN.
// Not to converge is returned. See: Manor, Michaeli 2024, algorithm 1.
Components top_components(const score::ScoreField& field, const at::Tensor& x,
                          const at::Tensor& sigma, const ComponentsOptions& options = {});

}  // namespace scorejet::posterior
