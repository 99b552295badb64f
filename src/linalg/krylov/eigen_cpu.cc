#include "src/linalg/krylov/eigen_cpu.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

#include "src/base/parallel.h"
#include "src/linalg/krylov/krylov_chain.h"
#include "src/linalg/krylov/tridiagonal.h"

namespace scorejet::linalg {
namespace {

// Small matrices: a look at T costs as much as several Lanczos steps, so it is looked at rarely.
int64_t first_size(int64_t k) { return 3 * k + 10; }
int64_t next_size(int64_t size) { return size + std::max<int64_t>(8, size / 4); }

// One thread's work space: Lanczos of one row after another.
template <typename T>
class RowSolver {
 public:
  RowSolver(int64_t dim, int64_t rank, int64_t k, double tolerance, int64_t limit)
      : chain_(dim, rank), dim_(dim), k_(k), limit_(limit), tolerance_(tolerance) {
    sum_.reserve(padded(dim), 0);
  }

  KrylovChain<T>& chain() { return chain_; }

  // Lanczos until the k largest pairs are there or `limit` vectors are. False when the space became
  // invariant before.
  bool solve(const double* start) {
    sequence_.alpha.clear();
    sequence_.beta.clear();
    sequence_.scale = 0;
    int64_t target = std::min(limit_, first_size(k_));
    chain_.begin(sequence_, start, 1, limit_);
    for (;;) {
      while (sequence_.size() < target && !sequence_.invariant) {
        KrylovSequence<T>* due[1] = {&sequence_};
        chain_.advance(due, 1);
      }
      if (sequence_.invariant) return false;
      if (look(Components::kFirstAndLast) <= tolerance_ || target == limit_) break;
      target = std::min(limit_, next_size(target));
    }
    residual_ = look(Components::kAll);
    return true;
  }

  int64_t size() const { return sequence_.size(); }
  double residual() const { return residual_; }
  double value(int64_t j) const { return eigen_.values[place(j)]; }

  // The j-th largest pair's vector, its entry of largest magnitude positive.
  void write_vector(int64_t j, T* out) {
    const KrylovKernels<T>& kernels = krylov_kernels<T>();
    const int64_t length = padded(dim_);
    const double* weights = eigen_.vectors.data() + static_cast<int64_t>(place(j)) * size();
    std::fill_n(sum_.data(), length, T(0));
    for (int64_t m = 0; m < size(); ++m) {
      kernels.add(static_cast<T>(weights[m]), sequence_.vectors.data() + m * length, length,
                  sum_.data());
    }
    const T* largest = std::max_element(sum_.data(), sum_.data() + dim_,
                                        [](T a, T b) { return std::abs(a) < std::abs(b); });
    const T sign = *largest < 0 ? T(-1) : T(1);
    for (int64_t i = 0; i < dim_; ++i) out[i] = sign * sum_.data()[i];
  }

 private:
  size_t place(int64_t j) const { return static_cast<size_t>(size() - 1 - j); }

  // The eigenpairs of T, and the largest of ‖A y − θ y‖ = β_m |e_mᵀ s| for the Ritz pairs
  // (θ, y = V s) that are asked for, against the largest |θ|.
  double look(Components components) {
    eigen_ = tridiagonal_eigen(sequence_.alpha.data(), sequence_.beta.data(), size(), components);
    if (!eigen_.converged) return std::numeric_limits<double>::infinity();
    const double largest =
        std::max(std::abs(eigen_.values.front()), std::abs(eigen_.values.back()));
    double last = 0;  // of the components
    for (int64_t j = 0; j < k_; ++j) {
      const size_t end = (place(j) + 1) * static_cast<size_t>(eigen_.rows) - 1;
      last = std::max(last, std::abs(eigen_.vectors[end]));
    }
    return sequence_.beta.back() * last / std::max(largest, 1e-30);
  }

  KrylovChain<T> chain_;
  KrylovSequence<T> sequence_;
  KrylovBuffer<T> sum_;
  TridiagonalEigen eigen_;
  int64_t dim_, k_, limit_;
  double tolerance_, residual_ = 0;
};

}  // namespace

CpuEigenPairs cpu_top_eigenpairs(const SymmetricOperator& op, const at::Tensor& start, int64_t k,
                                 const EigenOptions& options) {
  const at::Tensor diagonal = op.diagonal_part().detach().contiguous();
  const at::Tensor factor = op.factor().detach();
  const int64_t batch = op.batch(), dim = op.dim(), rank = op.rank();
  const int64_t limit = max_steps(op, k, options);
  CpuEigenPairs result;
  at::Tensor values = at::empty({batch, k}, diagonal.options());
  at::Tensor vectors = at::empty({batch, k, dim}, diagonal.options());
  std::mutex mutex;  // of result
  // Rows a thread takes at least: enough that starting it does not show.
  const int64_t grain = 1 + (1 << 14) / (dim * (rank + 8));
  AT_DISPATCH_FLOATING_TYPES(diagonal.scalar_type(), "cpu_top_eigenpairs", [&] {
    base::parallel_for(batch, grain, [&](int64_t begin, int64_t end) {
      RowSolver<scalar_t> row(dim, rank, k, options.tolerance, limit);
      for (int64_t b = begin; b < end; ++b) {
        row.chain().load(diagonal.data_ptr<scalar_t>() + b * dim,
                         factor.data_ptr<scalar_t>() + b * factor.stride(0), factor.stride(1),
                         factor.stride(2));
        const bool found = row.solve(start.data_ptr<double>());
        if (found) {
          for (int64_t j = 0; j < k; ++j) {
            values.data_ptr<scalar_t>()[b * k + j] = static_cast<scalar_t>(row.value(j));
            row.write_vector(j, vectors.data_ptr<scalar_t>() + (b * k + j) * dim);
          }
        }
        const std::lock_guard lock(mutex);
        if (!found) {
          result.left.push_back(b);
          continue;
        }
        result.pairs.residual = std::max(result.pairs.residual, row.residual());
        result.pairs.steps = std::max(result.pairs.steps, row.size());
      }
    });
  });
  std::sort(result.left.begin(), result.left.end());
  result.pairs.values = values;
  result.pairs.vectors = vectors.transpose(1, 2);
  result.pairs.converged = result.pairs.residual <= options.tolerance;
  return result;
}

}  // namespace scorejet::linalg
