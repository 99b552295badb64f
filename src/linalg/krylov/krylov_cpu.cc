// The Krylov spaces of matrix functions, chain by chain (krylov_chain.h): which sequences grow, in
// what memory, and the sums of their vectors.
#include <ATen/ATen.h>

#include <algorithm>

#include "src/base/parallel.h"
#include "src/linalg/krylov/krylov_chain.h"
#include "src/linalg/krylov/krylov_space.h"

namespace scorejet::linalg {
namespace {

constexpr int64_t kFirstCapacity = 16;  // vectors a sequence has room for at first

template <typename T>
class CpuKrylov : public KrylovSpace {
 public:
  CpuKrylov(const SymmetricOperator& op, const at::Tensor& v)
      : diagonal_(op.diagonal_part().contiguous()),
        factor_(op.factor()),
        start_(v),
        columns_(v.size(2)),
        dim_(op.dim()),
        rank_(op.rank()),
        length_(padded(op.dim())),
        sequences_(static_cast<size_t>(op.batch() * v.size(2))) {
    // One block for what most sequences need: an allocation each is a few percent of a step.
    const int64_t each = (std::min(kFirstCapacity, dim_) + 1) * length_;
    slab_ = at::empty({static_cast<int64_t>(sequences_.size()) * each},
                      c10::CppTypeToScalarType<T>::value);
    for (size_t p = 0; p < sequences_.size(); ++p) {
      sequences_[p].vectors.borrow(slab_.data_ptr<T>() + static_cast<int64_t>(p) * each, each);
    }
  }

  void grow(const std::vector<int64_t>& sizes) override {
    AT_DISPATCH_FLOATING_TYPES(factor_.scalar_type(), "krylov_grow", [&] {
      base::parallel_for(factor_.size(0), grain(), [&](int64_t begin, int64_t end) {
        KrylovChain<T> chain(dim_, rank_);
        for (int64_t b = begin; b < end; ++b) {
          bool loaded = false;
          for (;;) {
            // Columns that still grow, two at a time: they share a pass over F.
            KrylovSequence<T>* due[2];
            int count = 0;
            for (int64_t j = 0; j < columns_ && count < 2; ++j) {
              KrylovSequence<T>& s = sequences_[static_cast<size_t>(b * columns_ + j)];
              const int64_t target = std::min(sizes[static_cast<size_t>(b * columns_ + j)], dim_);
              if (!s.begun) {
                chain.begin(
                    s, start_.data_ptr<scalar_t>() + b * start_.stride(0) + j * start_.stride(2),
                    start_.stride(1), target);
              }
              if (s.invariant || s.size() >= target) continue;
              if (s.vectors.size() < (target + 1) * length_) {
                s.vectors.reserve((std::min(2 * target, dim_) + 1) * length_,
                                  (s.size() + 1) * length_);
              }
              due[count++] = &s;
            }
            if (count == 0) break;
            if (!loaded) {
              chain.load(diagonal_.data_ptr<scalar_t>() + b * dim_,
                         factor_.data_ptr<scalar_t>() + b * factor_.stride(0), factor_.stride(1),
                         factor_.stride(2));
            }
            loaded = true;
            chain.advance(due, count);
          }
        }
      });
    });
  }

  int64_t size(int64_t pair) const override { return at(pair).size(); }
  double start_norm(int64_t pair) const override { return at(pair).start_norm; }
  const double* alpha(int64_t pair) const override { return at(pair).alpha.data(); }
  const double* beta(int64_t pair) const override { return at(pair).beta.data(); }

  void combine(const std::vector<std::vector<double>>& coefficients, at::Tensor& values) override {
    AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "krylov_combine", [&] {
      auto out = values.accessor<scalar_t, 3>();
      const KrylovKernels<T>& kernels = krylov_kernels<T>();
      base::parallel_for(factor_.size(0), grain(), [&](int64_t begin, int64_t end) {
        std::vector<T> sum(static_cast<size_t>(length_));
        for (int64_t pair = begin * columns_; pair < end * columns_; ++pair) {
          const std::vector<double>& weights = coefficients[static_cast<size_t>(pair)];
          if (weights.empty()) continue;
          KrylovSequence<T>& s = sequences_[static_cast<size_t>(pair)];
          std::fill(sum.begin(), sum.end(), T(0));
          for (size_t k = 0; k < weights.size(); ++k) {
            const T weight = static_cast<T>(weights[k]);
            kernels.add(weight, s.vectors.data() + static_cast<int64_t>(k) * length_, length_,
                        sum.data());
          }
          const int64_t b = pair / columns_, j = pair % columns_;
          for (int64_t i = 0; i < dim_; ++i) {
            out[b][i][j] = static_cast<scalar_t>(sum[static_cast<size_t>(i)]);
          }
          s.vectors.clear();
        }
      });
    });
  }

 private:
  const KrylovSequence<T>& at(int64_t pair) const { return sequences_[static_cast<size_t>(pair)]; }

  // Chains a thread takes at least: enough that starting it does not show.
  int64_t grain() const { return 1 + (1 << 16) / (dim_ * (rank_ + 8)); }

  at::Tensor diagonal_, factor_, start_, slab_;
  int64_t columns_, dim_, rank_, length_;
  std::vector<KrylovSequence<T>> sequences_;
};

}  // namespace

std::unique_ptr<KrylovSpace> make_cpu_krylov(const SymmetricOperator& op, const at::Tensor& v,
                                             at::ScalarType type) {
  if (type == at::kFloat) return std::make_unique<CpuKrylov<float>>(op, v);
  return std::make_unique<CpuKrylov<double>>(op, v);
}

}  // namespace scorejet::linalg
