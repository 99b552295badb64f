// Eigenvalues of one small symmetric tridiagonal matrix and the rows of its eigenvectors that are
// asked for. Lanczos needs thousands of these a step, of order ten: LAPACK's call costs more.
#pragma once

#include <cstdint>
#include <vector>

namespace scorejet::linalg {

struct TridiagonalEigen {
  std::vector<double> values;  // [m], ascending
  // [m, rows]: of each eigenvector u_j (a line) all m components, or its first and its last.
  std::vector<double> vectors;
  int64_t rows = 0;
  bool converged = false;  // false too when an entry is not finite
};

enum class Components { kAll, kFirstAndLast };

// alpha [m] on the diagonal, beta [m − 1] beside it. Implicit QL (Bowdler, Martin, Reinsch and
// Wilkinson 1968, tql2), each rotation applied to the rows kept alone. Cost: O(m² rows).
TridiagonalEigen tridiagonal_eigen(const double* alpha, const double* beta, int64_t m,
                                   Components components);

}  // namespace scorejet::linalg
