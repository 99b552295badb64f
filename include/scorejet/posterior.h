// Denoising with uncertainty: posterior mean, standard deviation, principal components and samples
// of the clean x given a noisy one. denoise() takes one batch and the field's own s2; posteriors()
// takes many rows, in blocks, by any of the ways to a covariance. Add a posterior quantity to
// Posterior and denoise.cc, a way to a covariance to Covariance and posteriors.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>

#include "scorejet/gaussian.h"
#include "scorejet/listener.h"
#include "scorejet/score_field.h"

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

// Math: mean x̃ + σ² s1, covariance (σ² I + σ⁴ s2) times the temperature; eigenpairs by
// Lanczos; samples mean + √d ∘ ε₁ + U ε₂ for a covariance diag(d) + U Uᵀ, by eigh for a dense one.
// Shapes: x [B, D]; sigma a scalar or [B], in units of x. A field without second order gives the
// mean only (then K and S must be 0).
// Errors: std::invalid_argument for shapes and options; std::domain_error for NaN in x, σ <= 0, a
// temperature <= 0, or samples or distances asked of a covariance with a negative part (a free
// parameterisation).
Posterior denoise(const score::ScoreField& field, const at::Tensor& x, const at::Tensor& sigma,
                  const DenoiseOptions& options);

enum class Covariance {
  kLearned,   // the field's own s2
  kSubspace,  // leading eigenpairs, by exact Jacobian-vector products: no matrix, no diagonal
  kExact      // the whole Jacobian of s1
};

const char* covariance_name(Covariance value);  // "learned", "subspace", "exact"

// Bytes that an exact covariance needs a sample: the Jacobian's rows, the matrix, its symmetric
// part and a temporary, in float32. More than kMaxExactBytes are not taken at once.
int64_t exact_bytes(int64_t dim);
constexpr int64_t kMaxExactBytes = int64_t{1} << 30;

struct PosteriorOptions {
  Covariance covariance = Covariance::kLearned;
  DenoiseOptions wanted = {};      // of each posterior; rows are numbered from its first_row
  int64_t block = 0;               // rows at a time; 0: as many as suit the way
  int64_t copies = 1;              // exact: vector-Jacobian products at once, each a row more
  double tolerance = 0;            // exact: of eigenpairs, by block Krylov; 0: eigh
  at::Device device = at::kCPU;    // where the field is
  std::string name = "the field";  // of the field, in errors
};

// Math: mean x + σ² s1; covariance σ² I + σ⁴ S times the temperature, with S the field's s2, or the
// symmetric part of the Jacobian of its s1 (exact). That need not be a covariance: variances are as
// they are, samples are of the nearest covariance, and distances are of definite ones alone (none
// where one is not). A subspace gives mean and components, and nothing else.
// Shapes: x [N, D] on the CPU, sigma in units of x; what comes back is on the CPU. Progress: task
// "denoise", in rows. Stopped by the listener, it returns the rows done so far, one block at least.
// Results do not depend on `block`, up to the rounding of exact ones.
// Errors: as denoise() and top_components(); std::domain_error for a mean that is not finite, with
// the field's name, sample and coordinate. Cost, exact: D vector-Jacobian products a block and
// exact_bytes() a row.
Posterior posteriors(const score::ScoreField& field, const at::Tensor& x, double sigma,
                     const PosteriorOptions& options, const base::Listener& listener = {});

// Row `row` alone, [1, ...].
Posterior row_of(const Posterior& posterior, int64_t row);

}  // namespace scorejet::posterior
