#include "scorejet/linalg/tridiagonal.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace scorejet::linalg {
namespace {

// Columns j and j + 1 of the eigenvector matrix, stored as lines, turned by the rotation (c, s).
void rotate(double* line, int64_t rows, double c, double s) {
  double* next = line + rows;
  for (int64_t k = 0; k < rows; ++k) {
    const double f = next[k];
    next[k] = s * line[k] + c * f;
    line[k] = c * line[k] - s * f;
  }
}

// tql2 on d [m] and e [m] (e[m - 1] = 0). False when an eigenvalue needs more than 60 iterations.
bool implicit_ql(std::vector<double>& d, std::vector<double>& e, std::vector<double>& z,
                 int64_t rows) {
  const auto m = static_cast<int64_t>(d.size());
  const auto at = [](int64_t i) { return static_cast<size_t>(i); };
  constexpr double kUnit = std::numeric_limits<double>::epsilon();
  for (int64_t l = 0; l < m; ++l) {
    for (int iteration = 0;; ++iteration) {
      int64_t end = l;
      while (end + 1 < m &&
             std::abs(e[at(end)]) > kUnit * (std::abs(d[at(end)]) + std::abs(d[at(end + 1)]))) {
        ++end;
      }
      if (end == l) break;
      if (iteration == 60) return false;
      double g = (d[at(l + 1)] - d[at(l)]) / (2 * e[at(l)]);
      g = d[at(end)] - d[at(l)] + e[at(l)] / (g + std::copysign(std::sqrt(g * g + 1), g));
      double s = 1, c = 1, p = 0;
      int64_t i = end - 1;
      for (; i >= l; --i) {
        const double f = s * e[at(i)], b = c * e[at(i)];
        const double r = std::sqrt(f * f + g * g);
        e[at(i + 1)] = r;
        if (r == 0) {  // underflow: the matrix splits here
          d[at(i + 1)] -= p;
          e[at(end)] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[at(i + 1)] - p;
        const double t = (d[at(i)] - g) * s + 2 * c * b;
        p = s * t;
        d[at(i + 1)] = g + p;
        g = c * t - b;
        rotate(z.data() + i * rows, rows, c, s);
      }
      if (i >= l) continue;
      d[at(l)] -= p;
      e[at(l)] = g;
      e[at(end)] = 0;
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
  result.converged = implicit_ql(d, e, z, result.rows);
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
