#include "src/linalg/krylov/tridiagonal.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace scorejet::linalg {
namespace {

// Columns j and j + 1 of the eigenvector matrix, stored as lines, turned by the rotation (c, s).
void rotate(double* __restrict line, double* __restrict next, int64_t rows, double c, double s) {
  for (int64_t k = 0; k < rows; ++k) {
    const double f = next[k];
    next[k] = s * line[k] + c * f;
    line[k] = c * line[k] - s * f;
  }
}

// tql2 on d [m] and e [m] (e[m - 1] = 0). False when an eigenvalue needs more than 60 iterations.
bool implicit_ql(double* d, double* e, double* z, int64_t m, int64_t rows) {
  constexpr double kUnit = std::numeric_limits<double>::epsilon();
  for (int64_t l = 0; l < m; ++l) {
    for (int iteration = 0;; ++iteration) {
      int64_t end = l;
      while (end + 1 < m && std::abs(e[end]) > kUnit * (std::abs(d[end]) + std::abs(d[end + 1]))) {
        ++end;
      }
      if (end == l) break;
      if (iteration == 60) return false;
      double g = (d[l + 1] - d[l]) / (2 * e[l]);
      g = d[end] - d[l] + e[l] / (g + std::copysign(std::sqrt(g * g + 1), g));
      double s = 1, c = 1, p = 0;
      int64_t i = end - 1;
      for (; i >= l; --i) {
        const double f = s * e[i], b = c * e[i];
        const double r = std::sqrt(f * f + g * g);
        e[i + 1] = r;
        if (r == 0) {  // underflow: the matrix splits here
          d[i + 1] -= p;
          e[end] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        const double t = (d[i] - g) * s + 2 * c * b;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - b;
        rotate(z + i * rows, z + (i + 1) * rows, rows, c, s);
      }
      if (i >= l) continue;
      d[l] -= p;
      e[l] = g;
      e[end] = 0;
    }
  }
  return true;
}

}  // namespace

TridiagonalEigen tridiagonal_eigen(const double* alpha, const double* beta, int64_t m,
                                   Components components) {
  TridiagonalEigen result;
  result.rows = components == Components::kAll ? m : 2;
  const auto size = static_cast<size_t>(m);
  double largest = 0;
  for (int64_t i = 0; i < m; ++i) {
    const double entry = std::abs(alpha[i]) + (i + 1 < m ? std::abs(beta[i]) : 0);
    if (!std::isfinite(entry)) return result;
    largest = std::max(largest, entry);
  }
  // Scaled to entries of order one, so that no square overflows.
  const double scale = largest > 0 ? largest : 1;
  std::vector<double> d(alpha, alpha + m), e(size, 0.0);
  for (size_t i = 0; i < size; ++i) {
    d[i] /= scale;
    if (i + 1 < size) e[i] = beta[i] / scale;
  }
  std::vector<double> z(size * static_cast<size_t>(result.rows), 0.0);
  for (int64_t i = 0; i < m; ++i) {
    double* line = z.data() + i * result.rows;
    if (components == Components::kAll) {
      line[i] = 1;
    } else {
      line[0] = i == 0 ? 1 : 0;
      line[1] = i == m - 1 ? 1 : 0;
    }
  }
  result.converged = implicit_ql(d.data(), e.data(), z.data(), m, result.rows);
  std::vector<int64_t> order(size);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
    return d[static_cast<size_t>(i)] < d[static_cast<size_t>(j)];
  });
  result.values.resize(size);
  result.vectors.resize(z.size());
  for (size_t i = 0; i < size; ++i) {
    result.values[i] = d[static_cast<size_t>(order[i])] * scale;
    std::copy_n(z.data() + order[i] * result.rows, result.rows,
                result.vectors.data() + static_cast<int64_t>(i) * result.rows);
  }
  return result;
}

}  // namespace scorejet::linalg
