// Leading eigenpairs of a symmetric operator that is only known by what it does to vectors, many at
// a time: a Jacobian behind a graph. Change the block's growth, its restart and stopping here;
// operators of a known structure go by lanczos.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "src/linalg/lanczos.h"

namespace scorejet::linalg {

// A v for some vectors of every row: [B, p, D] -> [B, p, D], float64. p varies from call to call.
using BlockOperator = std::function<at::Tensor(const at::Tensor&)>;

struct BlockEigenOptions {
  double tolerance = 1e-4;       // residual ‖A v − λ v‖ against the largest |λ| of the row
  int64_t max_iterations = 100;  // blocks at most
  int64_t width = 0;             // vectors of a block; 0: k
};

struct BlockEigenPairs {
  EigenPairs pairs;        // steps: applications of A to a vector, a row
  int64_t iterations = 0;  // blocks
};

// The k largest eigenvalues and their eigenvectors of each of `batch` symmetric D × D operators.
// Math: block Krylov with Rayleigh-Ritz: the block of residuals of the k leading Ritz pairs joins
// the basis, of which subspace iteration keeps the last block only; when it has grown to a dozen
// blocks it is restarted from its leading Ritz vectors. D <= 32, or three blocks, takes the whole
// space at once, so is exact. A narrower block (`width`) spends fewer products on as much of the
// spectrum, one after the other: for an A that is dear and takes one vector as well as several.
// Basis in float64 on `device`. A row that has converged keeps the answer of that iteration, so
// that it does not depend on which others it came with. Signs as in top_eigenpairs of lanczos.h.
// Errors: std::invalid_argument unless 1 <= k <= D; std::domain_error for NaN from A, naming the
// row. Not to converge is returned, not thrown. Cost: beside A, O(m p D) a block for a basis of m.
// See: Musco, Musco 2015 (block Krylov against subspace iteration); Wu, Simon 2000 (thick restart).
BlockEigenPairs top_eigenpairs(const BlockOperator& apply, int64_t batch, int64_t dim, int64_t k,
                               at::Device device, const BlockEigenOptions& options = {});

}  // namespace scorejet::linalg
