// Transition kernels of a Markov chain on a score field: small values with init() and step().
// Add a kernel: a step function and a line in kernels() (kernel.cc); its name is what --kernel
// takes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "scorejet/sampling/noise.h"
#include "scorejet/sampling/target.h"

namespace scorejet::sampling {

struct KernelOptions {
  double step_size = 0.01;  // ε, in squared units of x; > 0. Where chains start from
  double max_growth = 1.0;  // Ozaki: ε λ of positive curvature λ is bounded by this, and counted
  double tolerance = 1e-5;  // Ozaki, low rank: relative error at which Lanczos stops
  int64_t leapfrog_steps = 10;  // hmc: score evaluations a step, >= 1
  int64_t line_panels = 1;      // line- kernels: pieces of the line, and evaluations a step, >= 1
};

// Where the chains are, and all that a step needs to know there.
struct ChainState {
  at::Tensor x;  // [C, D]
  score::Jet jet;
  at::Tensor log_density;   // [C]; where the kernel needs log p
  at::Tensor eigenvalues;   // of H = s2, or its diagonal, [C, D]; adjusted Ozaki
  at::Tensor eigenvectors;  // [C, D, D]; undefined where H is diagonal
};

// What went wrong at a position that a chain would have moved to.
enum class Fault : int64_t { kNone = 0, kPosition = 1, kScore = 2, kRunaway = 3 };
const char* fault_name(Fault fault);  // "position not finite", "score not finite", "runaway"

struct StepInfo {
  at::Tensor acceptance;        // [C] probability of acceptance; undefined when unadjusted
  at::Tensor fault;             // [C] int64, Fault; undefined when adjusted: there it is rejected
  at::Tensor bounded;           // [C] bool: max_growth was in force; undefined when it cannot be
  int64_t num_evaluations = 1;  // of the score, a chain
  int64_t krylov_steps = 0;     // size of the Krylov space used
  double krylov_error = 0;      // estimated relative error of the matrix functions
};

struct Step {
  ChainState state;
  StepInfo info;
};

struct StepInput {
  const Target& target;
  const ChainState& state;
  const at::Tensor& step_size;  // ε of each chain, [C]
  const Noise& noise;
  const KernelOptions& options;
};

enum class Adjustment {
  kNone,   // every proposal is taken: right as ε → 0
  kExact,  // Metropolis and Hastings with log p: right for every ε
  kLine    // the same with log p(x') − log p(x) integrated from s1 and s2 along the line
};

// The eigenvalues that a state holds: none, the diagonal of s2, or those of s2 with their vectors.
enum class Spectrum { kNone, kDiagonal, kFull };

struct Kernel {
  const char* name;
  int order;  // of the jet it needs
  Adjustment adjustment;
  double target_acceptance;  // that step-size adaptation aims at; 0 when unadjusted
  Spectrum spectrum;         // of s2, that its state holds
  Step (*step)(const Kernel& kernel, const StepInput& input);
};

// With H = s2(x), φ₁(t) = (eᵗ − 1)/t, z standard normal:
//
// langevin: x' = x + ε s1 + √(2ε) z (unadjusted Langevin, Euler-Maruyama).
// ozaki: x' = x + ε φ₁(εH) s1 + (2ε φ₁(2εH))^{1/2} z: the exact transition of the diffusion with
// its
//   drift linearised at x (Ozaki 1992); exact for every ε on a Gaussian, Langevin as ε → 0. Dense,
//   diagonal and low-rank H; never an inverse. Where H has an eigenvalue λ > max_growth/ε the
//   linearised flow would explode: ελ is taken as max_growth there (2 max_growth in the noise) and
//   the chain is counted in StepInfo::bounded.
// ozaki-diagonal: the same with the diagonal of H alone, O(D).
// mala, metropolis-ozaki, metropolis-ozaki-diagonal: these as proposals, accepted by Metropolis and
//   Hastings (mala: Roberts & Tweedie 1996). They need log p. metropolis-ozaki takes the
//   eigenvectors of H, O(D³) a chain, whatever the structure of H.
// line-mala, line-ozaki, line-ozaki-diagonal: the same where log p is not known. With
//   d = x' − x, f(t) = s1(x + td)·d, f' = dᵀ s2 d, the difference ∫₀¹ f dt is taken by Hermite's
//   rule ½(f₀ + f₁) + (f₀' − f₁')/12 on each of line_panels = n pieces: exact on Gaussians; else
//   its error is about ∂⁵ log p/∂d⁵ / (720 n⁴). One piece needs no evaluation beyond that at x', n
//   take n − 1 more. What it integrates is s1 along that line: learned scores, of no density in
//   general, have no exact answer to be wrong about, and the chain's law is near, not equal to, any
//   p.
// hmc: leapfrog_steps of size √(2ε) u, u uniform on (0.8, 1.2), then Metropolis (Neal 2011). One
//   leapfrog step with u = 1 is mala. It needs log p.
//
// An adjusted kernel rejects a proposal that is not finite, or whose scores are not.
const std::vector<Kernel>& kernels();
// Errors: std::invalid_argument naming the text and the names that exist.
const Kernel& find_kernel(const std::string& name);

// The state at x [C, D]: one evaluation of the score. Errors: std::invalid_argument for shapes, a
// kernel that needs a higher order than the field has, or log p where the target has none;
// std::domain_error for NaN in x.
ChainState init(const Kernel& kernel, const Target& target, const at::Tensor& x);

// One transition of every chain.
Step step(const Kernel& kernel, const StepInput& input);

// ε where none was chosen, from σ (docs/guide/sample.md): 0.1 σ² for kernels of first order (no
// curvature of p_sigma lies below −1/σ², so that on a Gaussian no variance of Langevin's is more
// than 1/0.95 too large), 0.2 σ² for the others. Adjusted kernels adapt from there. Errors:
// std::invalid_argument when sigma is 0.
double default_step_size(const Kernel& kernel, double sigma);

// Rows of `first` where mask [C] is true, of `second` elsewhere.
ChainState select_rows(const at::Tensor& mask, const ChainState& first, const ChainState& second);

}  // namespace scorejet::sampling
