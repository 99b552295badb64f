#include "src/linalg/krylov/krylov_function.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/base/fast_paths.h"
#include "src/base/parallel.h"
#include "src/linalg/krylov/krylov_space.h"
#include "src/linalg/krylov/tridiagonal.h"

namespace scorejet::linalg {
namespace {

constexpr int64_t kFirstSteps = 6;       // Krylov vectors at the first estimate
constexpr int64_t kSmall = 32;           // up to here all of U is computed at each estimate
constexpr double kRoundingFactor = 4.0;  // rounding acts like this many units of ‖A‖ on A
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double roundoff(at::ScalarType type) { return type == at::kFloat ? 0x1p-24 : 0x1p-53; }

// One pair's projected problem T_m and where its function is needed.
struct Projection {
  TridiagonalEigen eigen;
  double lower = 0, upper = 0;  // outermost Ritz values moved outwards by their residuals
  double step = 0;              // of the difference quotient that stands for f'
  int64_t size = 0;

  double theta(int64_t j) const { return eigen.values[static_cast<size_t>(j)]; }
  double first(int64_t j) const { return eigen.vectors[static_cast<size_t>(j * eigen.rows)]; }
  double last(int64_t j) const {
    return eigen.vectors[static_cast<size_t>((j + 1) * eigen.rows - 1)];
  }
  // Points: θ_j, θ_j + step, midpoints, lower, upper.
  int64_t num_points() const { return 3 * size + 1; }
  void write_points(double* out, int64_t capacity) const {
    for (int64_t j = 0; j < size; ++j) {
      out[j] = theta(j);
      out[size + j] = theta(j) + step;
      if (j + 1 < size) out[2 * size + j] = 0.5 * (theta(j) + theta(j + 1));
    }
    out[3 * size - 1] = lower;
    out[3 * size] = upper;
    std::fill(out + num_points(), out + capacity, upper);
  }
};

struct Estimate {
  double truncation = kInfinity;  // both relative to ‖f(T) e₁‖
  double rounding = 0;
};

// f holds the function at Projection's points; arithmetic and result are the unit roundoffs of
// Lanczos and of what is returned.
Estimate estimate_error(const Projection& p, const double* points, const double* f, double beta,
                        double arithmetic, double result) {
  double square = 0, slopes = 0, largest = 0;
  std::vector<double> weight(static_cast<size_t>(p.size));
  for (int64_t j = 0; j < p.size; ++j) {
    const double slope = (f[p.size + j] - f[j]) / p.step;
    square += f[j] * p.first(j) * f[j] * p.first(j);
    slopes += slope * p.first(j) * slope * p.first(j);
    largest = std::max(largest, std::abs(p.theta(j)));
    weight[static_cast<size_t>(j)] = p.first(j) * p.last(j);
  }
  const double norm = std::sqrt(square);
  double worst = 0;
  if (beta > 0) {
    for (int64_t i = 2 * p.size; i < p.num_points(); ++i) {
      const bool middle = i < 3 * p.size - 1;
      if (middle && p.theta(i - 2 * p.size + 1) - p.theta(i - 2 * p.size) < p.step) continue;
      double g = 0;
      for (int64_t j = 0; j < p.size; ++j) {
        g += weight[static_cast<size_t>(j)] * (f[i] - f[j]) / (points[i] - points[j]);
      }
      worst = std::isfinite(g) ? std::max(worst, std::abs(g)) : kInfinity;
    }
  }
  Estimate estimate;
  // Where f(T) e₁ = 0 there is nothing to be relative to.
  estimate.truncation = worst == 0 ? 0 : norm > 0 ? beta * worst / norm : kInfinity;
  estimate.rounding = 2 * result;
  if (norm > 0) {
    estimate.rounding += kRoundingFactor * arithmetic * largest * std::sqrt(slopes) / norm;
  }
  return estimate;
}

// ‖v‖ U f(θ) Uᵀ e₁.
std::vector<double> coefficients(const Projection& p, const double* f, double start_norm) {
  std::vector<double> y(static_cast<size_t>(p.size), 0.0);
  for (int64_t j = 0; j < p.size; ++j) {
    const double* u = p.eigen.vectors.data() + j * p.size;
    const double weight = start_norm * f[j] * u[0];
    for (int64_t i = 0; i < p.size; ++i) y[static_cast<size_t>(i)] += weight * u[i];
  }
  return y;
}

struct Pair {
  bool done = false;
  bool cut_short = false;  // done, for max_steps' sake
  int64_t target = kFirstSteps;
  Projection projection;
  int64_t previous_size = 0;  // of the estimate before, and what it said
  double previous_error = 1;
  double error = 0;
  std::vector<double> weights;  // of the Krylov vectors, once known
};

// How fast the error falls: its logarithm by `rate` a step around step `centre`.
struct Decay {
  double rate = 0, centre = 1;
};

// From the last four components of f(T) e₁, pairs of them so that a zero among them does no harm:
// all that a first estimate has to go by.
Decay decay_of(const std::vector<double>& y) {
  const auto m = y.size();
  if (m < 4) return {};
  const double before = std::hypot(y[m - 4], y[m - 3]), last = std::hypot(y[m - 2], y[m - 1]);
  return {0.5 * std::log(before / last), static_cast<double>(m) - 1.5};
}

// The Krylov dimension where an error `factor` times too large at m will have met its tolerance.
// The error of an entire function falls by about 2k/ρ at step k (Hochbruck and Lubich 1997); the
// rate seen last gives ρ. A good guess saves eigenproblems: with it two estimates mostly do.
int64_t predict_size(int64_t m, double factor, const Decay& decay, int64_t limit) {
  if (!(decay.rate > 0) || !std::isfinite(decay.rate) || !std::isfinite(factor)) {
    return std::min(limit, m + std::max<int64_t>(4, m / 2));
  }
  const int64_t furthest = m + std::max<int64_t>(8, m / 2);
  double excess = std::log(factor);
  int64_t size = m;
  while (excess > 0 && size < furthest) {
    excess -= decay.rate + std::log(static_cast<double>(size) / decay.centre);
    ++size;
  }
  return std::min(limit, std::max(size, m + std::max<int64_t>(1, m / 16)));
}

class Driver {
 public:
  Driver(const SymmetricOperator& op, const std::vector<ScalarFunction>& functions,
         const at::Tensor& v, const MatrixFunctionOptions& options, at::ScalarType type,
         const std::vector<int64_t>& rows, int64_t batch)
      : functions_(functions), options_(options), rows_(rows), batch_(batch), dim_(op.dim()) {
    columns_ = v.size(2);
    device_ = v.device();
    may_go_dense_ = options.max_steps <= 0;
    limit_ = may_go_dense_ ? std::max<int64_t>(dim_ / 2, kFirstSteps)
                           : std::min(dim_, options.max_steps);
    arithmetic_ = roundoff(type);
    result_roundoff_ = roundoff(v.scalar_type());
    refuse_rounding_ = type == at::kFloat;
    const bool cpu =
        op.diagonal_part().is_cpu() && !options.portable && base::fast(base::FastPath::kKrylov);
    space_ = cpu ? make_cpu_krylov(op, v, type) : make_tensor_krylov(op, v, type);
    // The spectrum lies between these: min a and max a + ‖F‖²_F.
    const at::Tensor a = op.diagonal_part().to(at::kDouble);
    floor_ = a.amin(-1).cpu();
    base_ = a.amax(-1).cpu();
    const size_t pairs = static_cast<size_t>(op.batch() * columns_);
    pairs_.resize(pairs);
    for (Pair& pair : pairs_) pair.target = std::min(kFirstSteps, limit_);
    result_.state.assign(rows.size(), RowState::kGrowing);
    result_.error.assign(rows.size(), 0.0);
    result_.eigen_max.assign(base_.data_ptr<double>(), base_.data_ptr<double>() + rows.size());
  }

  KrylovRows run(at::Tensor& values) {
    while (std::any_of(result_.state.begin(), result_.state.end(),
                       [](RowState s) { return s == RowState::kGrowing; })) {
      std::vector<int64_t> sizes(pairs_.size());
      for (size_t p = 0; p < pairs_.size(); ++p) {
        sizes[p] =
            growing(p / static_cast<size_t>(columns_)) && !pairs_[p].done ? pairs_[p].target : 0;
      }
      space_->grow(sizes);
      for_rows([&](int64_t b) { project(b); });
      evaluate();
      for_rows([&](int64_t b) { decide(b); });
      finish(values);
    }
    return std::move(result_);
  }

 private:
  bool growing(size_t b) const { return result_.state[b] == RowState::kGrowing; }
  Pair& pair(int64_t b, int64_t j) { return pairs_[static_cast<size_t>(b * columns_ + j)]; }

  template <typename Body>
  void for_rows(const Body& body) {
    base::parallel_for(static_cast<int64_t>(rows_.size()), 8, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        if (growing(static_cast<size_t>(b))) body(b);
      }
    });
  }

  // The eigenproblem of T for each column, then the ends of the spectrum for all: the Ritz values
  // of a random column guard those of one that hardly meets the outermost eigenvectors.
  void project(int64_t b) {
    double lower = kInfinity, upper = -kInfinity;
    for (int64_t j = 0; j < columns_; ++j) {
      Pair& q = pair(b, j);
      const int64_t index = b * columns_ + j;
      Projection& p = q.projection;
      if (!q.done) {
        if (!std::isfinite(space_->start_norm(index))) {
          result_.state[static_cast<size_t>(b)] = RowState::kFailed;
          return;
        }
        p.size = space_->size(index);
        if (p.size == 0) {  // v = 0
          q.done = true;
          continue;
        }
        p.eigen =
            tridiagonal_eigen(space_->alpha(index), space_->beta(index), p.size,
                              p.size <= kSmall ? Components::kAll : Components::kFirstAndLast);
        if (!p.eigen.converged) {
          result_.state[static_cast<size_t>(b)] = RowState::kFailed;
          return;
        }
      }
      if (p.size == 0) continue;
      const double beta = last_beta(index, p.size);
      lower = std::min(lower, p.theta(0) - beta * std::abs(p.last(0)));
      upper = std::max(upper, p.theta(p.size - 1) + beta * std::abs(p.last(p.size - 1)));
    }
    lower = std::max(lower, floor_.data_ptr<double>()[b]);
    for (int64_t j = 0; j < columns_; ++j) {
      Projection& p = pair(b, j).projection;
      if (p.size == 0) continue;
      const double bottom = p.theta(0), top = p.theta(p.size - 1);
      const double largest = std::max(std::abs(bottom), std::abs(top));
      p.step = largest > 0 ? 1e-6 * largest : 1e-6;
      p.lower = std::min(lower, bottom - p.step);
      p.upper = std::max(upper, top + p.step);
    }
  }

  double last_beta(int64_t index, int64_t size) const {
    return size == dim_ ? 0.0 : space_->beta(index)[size - 1];
  }

  // Each function once on the whole batch, as its caller's per-chain constants need.
  void evaluate() {
    points_.assign(static_cast<size_t>(columns_), {});
    f_.assign(static_cast<size_t>(columns_), {});
    for (int64_t j = 0; j < columns_; ++j) {
      int64_t capacity = 0;
      for (size_t b = 0; b < rows_.size(); ++b) {
        const Pair& q = pair(static_cast<int64_t>(b), j);
        if (growing(b) && !q.done) capacity = std::max(capacity, q.projection.num_points());
      }
      if (capacity == 0) continue;
      at::Tensor points = at::zeros({batch_, capacity}, at::TensorOptions(at::kDouble));
      for (size_t b = 0; b < rows_.size(); ++b) {
        const Pair& q = pair(static_cast<int64_t>(b), j);
        if (!growing(b) || q.done) continue;
        q.projection.write_points(points.data_ptr<double>() + rows_[b] * capacity, capacity);
      }
      points_[static_cast<size_t>(j)] = points;
      f_[static_cast<size_t>(j)] = functions_[static_cast<size_t>(j)](points.to(device_))
                                       .to(at::kCPU, at::kDouble)
                                       .contiguous();
    }
  }

  // What the estimates say of the pairs that still grow, then of the row.
  void decide(int64_t b) {
    RowState state = RowState::kDone;
    bool more = false;
    for (int64_t j = 0; j < columns_; ++j) {
      if (pair(b, j).done) continue;
      const RowState found = judge(b, j);
      more = more || found == RowState::kGrowing;
      state = std::max(state, found);
    }
    const auto row = static_cast<size_t>(b);
    for (int64_t j = 0; j < columns_; ++j) {
      const Pair& q = pair(b, j);
      if (q.cut_short) state = std::max(state, RowState::kShort);
      result_.error[row] = j == 0 ? q.error : std::max(result_.error[row], q.error);
      if (q.projection.size > 0) {
        result_.eigen_max[row] =
            std::max(result_.eigen_max[row], q.projection.theta(q.projection.size - 1));
      }
    }
    // Another arithmetic or eigh takes the whole row, so there is no use in growing on.
    if (state > RowState::kShort || !more) result_.state[row] = state;
  }

  // Column j of row b after its estimate: done (within the tolerance, or cut short), given up for
  // the row's next resort, or growing towards a new target.
  RowState judge(int64_t b, int64_t j) {
    Pair& q = pair(b, j);
    const Projection& p = q.projection;
    const int64_t index = b * columns_ + j;
    const at::Tensor& points = points_[static_cast<size_t>(j)];
    const int64_t offset = rows_[static_cast<size_t>(b)] * points.size(1);
    const double* f = f_[static_cast<size_t>(j)].data_ptr<double>() + offset;
    const Estimate e = estimate_error(p, points.data_ptr<double>() + offset, f,
                                      last_beta(index, p.size), arithmetic_, result_roundoff_);
    q.error = e.truncation + e.rounding;
    if (refuse_rounding_ && !(e.rounding <= 0.5 * options_.tolerance)) return RowState::kRounding;
    const double allowed = refuse_rounding_ ? options_.tolerance - e.rounding : options_.tolerance;
    const bool reached = e.truncation <= allowed;
    if (reached || p.size >= limit_) {
      if (!reached && may_go_dense_) return RowState::kCostly;
      q.cut_short = !reached;
      settle(q, f, index);
      return RowState::kDone;
    }
    aim(q, f, e.truncation, allowed);
    return RowState::kGrowing;
  }

  // Ends a pair: takes the weights of its Krylov vectors.
  void settle(Pair& q, const double* f, int64_t index) {
    Projection& p = q.projection;
    if (p.eigen.rows < p.size) {
      p.eigen =
          tridiagonal_eigen(space_->alpha(index), space_->beta(index), p.size, Components::kAll);
    }
    q.weights = coefficients(p, f, space_->start_norm(index));
    q.done = true;
  }

  // Sets how far a pair grows until its next estimate, by how fast its error fell.
  void aim(Pair& q, const double* f, double truncation, double allowed) const {
    const Projection& p = q.projection;
    const int64_t m = p.size;
    Decay decay;
    if (q.previous_size > 0) {
      decay = {std::log(q.previous_error / truncation) / double(m - q.previous_size),
               0.5 * double(m + q.previous_size)};
    } else if (p.eigen.rows == m) {
      decay = decay_of(coefficients(p, f, 1.0));
    }
    q.target = predict_size(m, truncation / allowed, decay, limit_);
    q.previous_size = m;
    q.previous_error = truncation;
  }

  // Writes the rows that have just ended, and lets their vectors go.
  void finish(at::Tensor& values) {
    std::vector<std::vector<double>> weights(pairs_.size());
    bool any = false;
    for (size_t p = 0; p < pairs_.size(); ++p) {
      result_.steps = std::max(result_.steps, pairs_[p].projection.size);
      const RowState state = result_.state[p / static_cast<size_t>(columns_)];
      if (state != RowState::kDone && state != RowState::kShort) continue;
      weights[p] = std::move(pairs_[p].weights);
      any = any || !weights[p].empty();
    }
    if (any) space_->combine(weights, values);
  }

  const std::vector<ScalarFunction>& functions_;
  const MatrixFunctionOptions& options_;
  const std::vector<int64_t>& rows_;
  int64_t batch_, dim_, columns_ = 0, limit_ = 0;
  at::Device device_ = at::kCPU;
  bool may_go_dense_ = false, refuse_rounding_ = false;
  double arithmetic_ = 0, result_roundoff_ = 0;
  std::unique_ptr<KrylovSpace> space_;
  at::Tensor floor_, base_;  // [B], min a and max a
  std::vector<Pair> pairs_;
  std::vector<at::Tensor> points_, f_;  // a column each, [batch, points]
  KrylovRows result_;
};

}  // namespace

KrylovRows apply_krylov(const SymmetricOperator& op, const std::vector<ScalarFunction>& functions,
                        const at::Tensor& v, const MatrixFunctionOptions& options,
                        at::ScalarType type, const std::vector<int64_t>& rows, int64_t batch,
                        at::Tensor& values) {
  return Driver(op, functions, v, options, type, rows, batch).run(values);
}

}  // namespace scorejet::linalg
