// Pieces that the ways to a posterior share. Change how eigenpairs and distances enter one here.
#pragma once

#include <ATen/core/Tensor.h>

#include "scorejet/posterior.h"
#include "src/linalg/lanczos.h"

namespace scorejet::posterior {

// Takes eigenpairs as the posterior's components.
void set_components(Posterior& posterior, const linalg::EigenPairs& pairs);

// Adds the distances of `clean` from a posterior, which must be positive definite.
void set_distances(Posterior& posterior, const Gaussian& gaussian, const at::Tensor& clean);

}  // namespace scorejet::posterior
