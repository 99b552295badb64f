// Transition kernels of a Markov chain on a score field: small values with one function, step. Add
// a kernel in kernel.cc: a step function and a line in kernels(); its name is what --kernel takes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "scorejet/score/score_field.h"

namespace scorejet::sampling {

struct KernelOptions {
  double step_size = 0.01;  // ε, in squared units of x; > 0
  double sigma = 0.0;       // noise level of the density that is sampled
  double max_growth = 1.0;  // Ozaki: ε λ of positive curvature λ is bounded by this, and counted
  double tolerance = 1e-5;  // Ozaki, low rank: relative error at which Lanczos stops
};

// Where the chains are: positions and the jet there.
struct ChainState {
  at::Tensor x;  // [C, D]
  score::Jet jet;
};

struct StepInfo {
  at::Tensor bounded;        // [C] bool: max_growth was in force; undefined when it never can be
  int64_t krylov_steps = 0;  // size of the Krylov space used
  double krylov_error = 0;   // estimated relative error of the matrix functions
};

struct Step {
  at::Tensor x;  // [C, D]
  StepInfo info;
};

struct Kernel {
  const char* name;
  int order;  // of the jet it needs
  // One step from `state` with standard normal `noise` [C, D].
  Step (*step)(const ChainState& state, const at::Tensor& noise, const KernelOptions& options);
};

// langevin: x' = x + ε s1 + √(2ε) z (unadjusted Langevin, Euler-Maruyama).
// ozaki: x' = x + ε φ₁(εH) s1 + (2ε φ₁(2εH))^{1/2} z, H = s2(x), φ₁(t) = (eᵗ − 1)/t: the exact
//   transition of the diffusion with its drift linearised at x (Ozaki 1992); exact for every ε on
//   a Gaussian, Langevin as ε → 0. Dense, diagonal and low-rank H; never an inverse. Where H has an
//   eigenvalue λ > max_growth/ε the linearised flow would explode: ελ is taken as max_growth there
//   (2 max_growth in the noise) and the chain is counted in StepInfo::bounded.
const std::vector<Kernel>& kernels();
// Errors: std::invalid_argument naming the text and the names that exist.
const Kernel& find_kernel(const std::string& name);

}  // namespace scorejet::sampling
