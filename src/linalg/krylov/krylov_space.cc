// The portable form: every chain and column takes each step together, as tensor operations.
#include "src/linalg/krylov/krylov_space.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "src/linalg/lanczos.h"

namespace scorejet::linalg {
namespace {

SymmetricOperator cast(const SymmetricOperator& op, at::ScalarType type) {
  return SymmetricOperator::from_low_rank(op.diagonal_part().to(type), op.factor().to(type));
}

class TensorKrylov : public KrylovSpace {
 public:
  TensorKrylov(const SymmetricOperator& op, const at::Tensor& v, at::ScalarType type)
      : op_(cast(op, type)), basis_(op_, v.to(type), /*restart=*/false), columns_(v.size(2)) {
    start_norm_ = basis_.start_norm().to(at::kCPU, at::kDouble).contiguous();
    sizes_.resize(static_cast<size_t>(start_norm_.numel()), 0);
  }

  void grow(const std::vector<int64_t>& sizes) override {
    const int64_t target = *std::max_element(sizes.begin(), sizes.end());
    basis_.grow(std::max<int64_t>(target - basis_.steps(), 0));
    alpha_ = basis_.alpha().to(at::kCPU, at::kDouble).contiguous();
    beta_ = basis_.beta().to(at::kCPU, at::kDouble).contiguous();
    for (size_t pair = 0; pair < sizes.size(); ++pair) {
      const auto p = static_cast<int64_t>(pair);
      if (start_norm_.data_ptr<double>()[p] == 0) continue;
      int64_t& size = sizes_[pair];
      while (size < std::min(sizes[pair], op_.dim()) && (size == 0 || beta(p)[size - 1] != 0)) {
        ++size;
      }
    }
  }

  int64_t size(int64_t pair) const override { return sizes_[static_cast<size_t>(pair)]; }
  double start_norm(int64_t pair) const override { return start_norm_.data_ptr<double>()[pair]; }
  const double* alpha(int64_t pair) const override { return line(alpha_, pair); }
  const double* beta(int64_t pair) const override { return line(beta_, pair); }

  void combine(const std::vector<std::vector<double>>& coefficients, at::Tensor& values) override {
    size_t longest = 1;
    for (const auto& list : coefficients) longest = std::max(longest, list.size());
    const int64_t m = std::min<int64_t>(static_cast<int64_t>(longest), basis_.steps());
    at::Tensor weights = at::zeros({values.size(0), columns_, m}, at::TensorOptions(at::kDouble));
    at::Tensor due = at::zeros({values.size(0), 1, columns_}, at::TensorOptions(at::kBool));
    for (size_t pair = 0; pair < coefficients.size(); ++pair) {
      if (coefficients[pair].empty()) continue;
      std::copy(coefficients[pair].begin(), coefficients[pair].end(),
                weights.data_ptr<double>() + static_cast<int64_t>(pair) * m);
      due.data_ptr<bool>()[pair] = true;
    }
    const at::Tensor vectors = basis_.vectors().narrow(2, 0, m);  // [B, c, m, D]
    const at::Tensor sum = at::matmul(weights.to(vectors.options()).unsqueeze(2), vectors);
    values = at::where(due.to(values.device()), sum.squeeze(2).transpose(1, 2).to(values), values);
  }

 private:
  static const double* line(const at::Tensor& table, int64_t pair) {
    return table.data_ptr<double>() + pair * table.size(2);
  }

  SymmetricOperator op_;
  LanczosBasis basis_;
  int64_t columns_;
  at::Tensor start_norm_, alpha_, beta_;  // on the CPU, in float64
  std::vector<int64_t> sizes_;
};

}  // namespace

std::unique_ptr<KrylovSpace> make_tensor_krylov(const SymmetricOperator& op, const at::Tensor& v,
                                                at::ScalarType type) {
  return std::make_unique<TensorKrylov>(op, v, type);
}

}  // namespace scorejet::linalg
