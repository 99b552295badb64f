// Gaussian proposals with their densities, and log p along a line: what a Metropolis-Hastings ratio
// is made of.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "scorejet/score_field.h"

namespace scorejet::sampling {

// N(mean, Q diag(variance) Qᵀ), one a chain.
struct Gaussian {
  at::Tensor mean, variance;  // [C, D]
  at::Tensor vectors;         // Q [C, D, D]; undefined: the identity
  at::Tensor bounded;         // [C] bool, as StepInfo::bounded
};

at::Tensor draw(const Gaussian& gaussian, const at::Tensor& noise);     // noise [C, D] -> [C, D]
at::Tensor log_density(const Gaussian& gaussian, const at::Tensor& x);  // [C], float64

// Q v or, transposed, Qᵀ v; v [C, D]. Undefined vectors are the identity.
at::Tensor rotate(const at::Tensor& vectors, const at::Tensor& v, bool transposed);

struct LinePoint {
  at::Tensor x;  // [C, D]
  score::Jet jet;
};

// log p(last) − log p(first) from the jets at equally spaced points of a line, its ends included:
// Hermite's rule on each piece. [C], float64. The ends need s2.
at::Tensor line_difference(const std::vector<LinePoint>& points);

}  // namespace scorejet::sampling
