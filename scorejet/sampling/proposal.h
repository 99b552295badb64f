// The Gaussian proposals of the adjusted kernels, with their densities. Change what a
// Metropolis-Hastings ratio is made of here.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "scorejet/sampling/kernel.h"

namespace scorejet::sampling {

// N(mean, Q diag(variance) Qᵀ), one a chain.
struct Gaussian {
  at::Tensor mean, variance;  // [C, D]
  at::Tensor vectors;         // Q [C, D, D]; undefined: the identity
  at::Tensor bounded;         // [C] bool, as StepInfo::bounded
};

// Ozaki's drift ε φ₁(ελ) and variance 2ε φ₁(2ελ) along an eigenvector of eigenvalue λ, ελ held at
// max_growth. Both tensors broadcast.
at::Tensor ozaki_drift(const at::Tensor& lambda, const at::Tensor& epsilon, double max_growth);
at::Tensor ozaki_variance(const at::Tensor& lambda, const at::Tensor& epsilon, double max_growth);

// Where langevin and ozaki go from `state` (see kernels()).
Gaussian langevin_proposal(const ChainState& state, const at::Tensor& step_size,
                           const KernelOptions& options);
Gaussian ozaki_proposal(const ChainState& state, const at::Tensor& step_size,
                        const KernelOptions& options);

at::Tensor draw(const Gaussian& gaussian, const at::Tensor& noise);     // noise [C, D] -> [C, D]
at::Tensor log_density(const Gaussian& gaussian, const at::Tensor& x);  // [C], float64

// log p(last) − log p(first) from the jets at equally spaced states of a line, its ends included:
// Hermite's rule on each piece. [C], float64.
at::Tensor line_difference(const std::vector<ChainState>& states);

}  // namespace scorejet::sampling
