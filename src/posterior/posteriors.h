// The posteriors of a long batch of noisy samples at one noise level, in blocks of rows, by any of
// the ways to a covariance. Add a way here; what a posterior consists of is in denoise.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "src/base/listener.h"
#include "src/posterior/denoise.h"

namespace scorejet::posterior {

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
