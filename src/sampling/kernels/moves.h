// What the steps of kernels are made of: going somewhere, accepting or refusing, and the whole
// Metropolis step around a Gaussian proposal. Not for other use than in this folder.
#pragma once

#include <ATen/core/Tensor.h>

#include "scorejet/kernel.h"
#include "src/sampling/noise.h"
#include "src/sampling/proposal.h"

namespace scorejet::sampling {

// The state at x without any check: jet, log p and `derived`; `carry` is empty.
ChainState state_at(const Kernel& kernel, const Target& target, const at::Tensor& x);

// The state at a position, or the old one in the rows whose position or scores are not finite.
struct Arrival {
  ChainState state;
  at::Tensor position_ok, score_ok;  // [C] bool
};
// `carry` is that of input.state, for the step to replace.
Arrival arrive(const Kernel& kernel, const StepInput& input, const at::Tensor& x);

// Moves every chain to x: the end of an unadjusted step. A chain that cannot has its fault in the
// result, and is stopped where it was. `carry` is that of input.state, for the step to replace.
Step move(const Kernel& kernel, const StepInput& input, const at::Tensor& x, StepInfo info);

// Accepts `proposed` with probability min(1, exp(log_ratio)), or keeps the old state. Rows that are
// not `valid` [C] are refused.
Step accept(const StepInput& input, const ChainState& proposed, const at::Tensor& log_ratio,
            const at::Tensor& valid, StepInfo info);

// A step that proposes by kernel.propose and accepts by Metropolis and Hastings. A proposal that is
// not finite, or whose scores are not, is refused.
//
// Of Adjustment::kLine log p is not known: with d = x' − x, f(t) = s1(x + td)·d, f' = dᵀ s2 d, the
// difference ∫₀¹ f dt is taken by Hermite's rule ½(f₀ + f₁) + (f₀' − f₁')/12 on each of
// line-panels = n pieces: exact on Gaussians; else its error is about ∂⁵ log p/∂d⁵ / (720 n⁴). One
// piece needs no evaluation beyond that at x', n take n − 1 more. What it integrates is s1 along
// that line: learned scores, of no density in general, have no exact answer to be wrong about, and
// the chain's law is near, not equal to, any p.
Step metropolis(const Kernel& kernel, const StepInput& input);

// The options of every kernel of Adjustment::kLine: "line-panels", which counts its evaluations.
KernelOption line_panels_option();

}  // namespace scorejet::sampling
