// Denoising with uncertainty: posterior mean, standard deviation, principal components and samples
// of the clean x given a noisy one, from the field's own s2. Add a posterior quantity here; other
// ways to the covariance, and long batches, are in posteriors.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "src/linalg/lanczos.h"
#include "src/posterior/gaussian.h"
#include "src/score/score_field.h"

namespace scorejet::posterior {

struct DenoiseOptions {
  int64_t num_components = 0;  // leading eigenpairs of the posterior covariance a sample; 0..D
  int64_t num_samples = 0;     // draws from the Gaussian posterior a sample
  uint64_t seed = 0;           // of the draws; row i of the batch draws by (seed, i)
  int64_t first_row = 0;       // number of the first row, when a long batch comes in pieces
  double temperature = 1;      // times every covariance; > 0 (see calibration.h)
  at::Tensor clean = {};       // the truth, [B, D], where it is known: distances from it
};

// The posteriors of a batch, one a row, as far as they were asked for.
struct Posterior {
  at::Tensor mean;                     // [B, D]
  at::Tensor variance;                 // diagonal of the covariance, [B, D]; undefined: none
  at::Tensor eigenvalues;              // [B, K], descending; undefined when K = 0
  at::Tensor components;               // [B, K, D], unit length; undefined when K = 0
  at::Tensor samples;                  // [B, S, D]; undefined when S = 0
  int64_t num_negative_variances = 0;  // never clipped; 0 for psd models
  double eigen_residual = 0;           // largest relative residual of an eigenpair
  bool eigen_converged = true;
  at::Tensor log_likelihood;  // of the clean x, [B]; undefined without it. Units: nats.
  at::Tensor mahalanobis;     // its squared distance over D, [B]; likewise
  int64_t num_indefinite =
      0;  // exact covariances with a negative eigenvalue, where `clean` is known
  // Negative part of an exact covariance against its positive one, summed over eigenvalues, the
  // largest over blocks; drawn samples leave it out. Only where samples were drawn from one.
  std::optional<double> negative_part = {};
};

// Takes eigenpairs as the posterior's components.
void set_components(Posterior& posterior, const linalg::EigenPairs& pairs);

// Adds the distances of `clean` from a posterior, which must be positive definite.
void set_distances(Posterior& posterior, const Gaussian& gaussian, const at::Tensor& clean);

// Math: mean x̃ + σ² s1, covariance (σ² I + σ⁴ s2) times the temperature; eigenpairs by
// Lanczos; samples mean + √d ∘ ε₁ + U ε₂ for a covariance diag(d) + U Uᵀ, by eigh for a dense one.
// Shapes: x [B, D]; sigma a scalar or [B], in units of x. A field without second order gives the
// mean only (then K and S must be 0).
// Errors: std::invalid_argument for shapes and options; std::domain_error for NaN in x, σ <= 0, a
// temperature <= 0, or samples or distances asked of a covariance with a negative part (a free
// parameterisation).
Posterior denoise(const score::ScoreField& field, const at::Tensor& x, const at::Tensor& sigma,
                  const DenoiseOptions& options);

}  // namespace scorejet::posterior
