// Eigenvalues and eigenvectors of many small symmetric matrices. Change here which sizes count as
// small.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

namespace scorejet::linalg {

// What at::linalg_eigh gives, eigenvalues ascending, for a batch [B, n, n] without a gradient. On
// the CPU small matrices are shared out among the threads, each solved on one: LAPACK's own threads
// cost more than they save below some hundred rows, and far more beside another busy program. A
// matrix's result depends neither on the others nor on the number of threads. Errors: c10::Error
// where LAPACK does not converge, as at::linalg_eigh.
std::pair<at::Tensor, at::Tensor> small_eigh(const at::Tensor& matrices);

}  // namespace scorejet::linalg
