// Leading eigenpairs of diag(a) + F Fᵀ on the CPU, chain by chain: what top_eigenpairs() uses where
// it can. Change the sizes at which a chain is looked at in eigen_cpu.cc.
#pragma once

#include <vector>

#include "src/linalg/lanczos.h"

namespace scorejet::linalg {

struct CpuEigenPairs {
  EigenPairs pairs;
  // Rows whose Krylov space was invariant (few distinct eigenvalues): repeated ones may be missing,
  // so that a method with fresh vectors must find theirs.
  std::vector<int64_t> left;
};

// `start` [D] in float64: where every row's Lanczos starts. Low rank on the CPU only.
CpuEigenPairs cpu_top_eigenpairs(const SymmetricOperator& op, const at::Tensor& start, int64_t k,
                                 const EigenOptions& options);

}  // namespace scorejet::linalg
