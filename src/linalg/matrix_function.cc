#include "src/linalg/matrix_function.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "src/base/check.h"
#include "src/linalg/krylov/krylov_function.h"
#include "src/linalg/small_eigh.h"

namespace scorejet::linalg {
namespace {

constexpr int64_t kSmallDim = 16;                     // up to here eigh costs no more than Lanczos
constexpr int64_t kDenseElements = int64_t{1} << 23;  // of the matrices held at a time: 64 MB

at::Tensor index_of(const std::vector<int64_t>& rows, at::Device device) {
  return at::tensor(rows, at::TensorOptions(at::kLong)).to(device);
}

SymmetricOperator select(const SymmetricOperator& op, const at::Tensor& index) {
  const auto rows = [&](const at::Tensor& part) { return part.index_select(0, index); };
  switch (op.structure()) {
    case Structure::kDense:
      return SymmetricOperator::from_dense(rows(op.matrix()));
    case Structure::kDiagonal:
      return SymmetricOperator::from_diagonal(rows(op.diagonal_part()));
    case Structure::kLowRank:
      break;
  }
  return SymmetricOperator::from_low_rank(rows(op.diagonal_part()), rows(op.factor()));
}

// Cast before F Fᵀ is formed: in float32 its rounding alone would exceed the tolerance.
at::Tensor dense_in_double(const SymmetricOperator& op) {
  if (op.structure() != Structure::kLowRank) return op.dense().to(at::kDouble);
  return SymmetricOperator::from_low_rank(op.diagonal_part().to(at::kDouble),
                                          op.factor().to(at::kDouble))
      .dense();
}

// Column by column: eigenvalues [n, m] of the rows at `index` -> f_j, [n, m, c].
at::Tensor evaluate(const std::vector<ScalarFunction>& functions, const at::Tensor& eigenvalues,
                    const at::Tensor& index, int64_t batch) {
  at::Tensor all = at::zeros({batch, eigenvalues.size(1)}, eigenvalues.options());
  all.index_copy_(0, index, eigenvalues);
  std::vector<at::Tensor> columns;
  for (const ScalarFunction& f : functions) columns.push_back(f(all).index_select(0, index));
  return at::stack(columns, -1).to(at::kDouble);
}

void note_exact(const at::Tensor& finite, MatrixFunctionResult& result) {
  if (finite.all().item<bool>()) return;
  result.converged = false;
  result.error = std::numeric_limits<double>::infinity();
}

void by_eigh(const SymmetricOperator& op, const std::vector<ScalarFunction>& functions,
             const at::Tensor& v, const std::vector<int64_t>& rows, MatrixFunctionResult& result) {
  const auto chunk = static_cast<size_t>(
      std::max<int64_t>(1, kDenseElements / std::max<int64_t>(1, op.dim() * op.dim())));
  for (size_t begin = 0; begin < rows.size(); begin += chunk) {
    const auto first = rows.begin() + static_cast<int64_t>(begin);
    const auto count = static_cast<int64_t>(std::min(chunk, rows.size() - begin));
    const at::Tensor index = index_of({first, first + count}, v.device());
    at::Tensor matrix = dense_in_double(select(op, index));
    const at::Tensor finite = at::isfinite(matrix).all(-1).all(-1);  // [n]
    matrix = at::where(finite.view({-1, 1, 1}), matrix, at::zeros_like(matrix));
    const auto [values, vectors] = small_eigh(matrix);
    const at::Tensor f = evaluate(functions, values, index, op.batch());
    at::Tensor product = at::matmul(
        vectors, f * at::matmul(vectors.transpose(1, 2), v.index_select(0, index).to(at::kDouble)));
    product.masked_fill_(finite.logical_not().view({-1, 1, 1}),
                         std::numeric_limits<double>::quiet_NaN());
    result.values.index_copy_(0, index, product.to(v.scalar_type()));
    result.eigen_max.index_copy_(0, index, values.amax(-1).to(v.scalar_type()));
    note_exact(finite, result);
  }
}

void by_element(const SymmetricOperator& op, const std::vector<ScalarFunction>& functions,
                const at::Tensor& v, MatrixFunctionResult& result) {
  const at::Tensor a = op.diagonal_part().to(at::kDouble);
  for (size_t j = 0; j < functions.size(); ++j) {
    const auto column = static_cast<int64_t>(j);
    result.values.select(2, column).copy_(functions[j](a) * v.select(2, column).to(at::kDouble));
  }
  result.eigen_max = a.amax(-1).to(v.scalar_type());
  note_exact(at::isfinite(a), result);
}

// Rows of `rows` by Lanczos in `type`; those that it must not or need not do are returned.
struct Remaining {
  std::vector<int64_t> rounding, costly;
};

Remaining by_lanczos(const SymmetricOperator& op, const std::vector<ScalarFunction>& functions,
                     const at::Tensor& v, const MatrixFunctionOptions& options, at::ScalarType type,
                     const std::vector<int64_t>& rows, MatrixFunctionResult& result) {
  const bool whole = static_cast<int64_t>(rows.size()) == op.batch();
  const at::Tensor index = index_of(rows, v.device());
  at::Tensor values =
      whole ? result.values : at::empty({index.size(0), v.size(1), v.size(2)}, v.options());
  const KrylovRows krylov =
      whole ? apply_krylov(op, functions, v, options, type, rows, op.batch(), values)
            : apply_krylov(select(op, index), functions, v.index_select(0, index), options, type,
                           rows, op.batch(), values);
  Remaining remaining;
  at::Tensor eigen_max = at::empty({index.size(0)}, at::TensorOptions(at::kDouble));
  for (size_t b = 0; b < rows.size(); ++b) {
    eigen_max.data_ptr<double>()[b] = krylov.eigen_max[b];
    const RowState state = krylov.state[b];
    if (state == RowState::kRounding) {
      remaining.rounding.push_back(rows[b]);
    } else if (state == RowState::kCostly) {
      remaining.costly.push_back(rows[b]);
    } else if (state == RowState::kFailed) {
      values.select(0, static_cast<int64_t>(b)).fill_(std::numeric_limits<double>::quiet_NaN());
      result.converged = false;
      result.error = std::numeric_limits<double>::infinity();
    } else {
      result.error = std::max(result.error, krylov.error[b]);
      result.converged = result.converged && state == RowState::kDone;
    }
  }
  result.eigen_max.index_copy_(0, index, eigen_max.to(v.options()));
  if (whole) {
    result.values = values;
  } else {
    result.values.index_copy_(0, index, values);
  }
  result.steps = std::max(result.steps, krylov.steps);
  return remaining;
}

}  // namespace

at::Tensor phi1(const at::Tensor& t) {
  // expm1 is accurate near 0, so the ratio is too; only t = 0 itself needs its limit.
  return at::where(t == 0, at::ones_like(t), at::expm1(t) / t);
}

MatrixFunctionResult apply_functions(const SymmetricOperator& op,
                                     const std::vector<ScalarFunction>& functions,
                                     const at::Tensor& v, const MatrixFunctionOptions& options) {
  constexpr const char* kWhere = "linalg::apply_functions";
  base::check_shape(kWhere, "v", v, {op.batch(), op.dim(), static_cast<int64_t>(functions.size())});
  base::check_like(kWhere, "v", v, "the operator",
                   op.structure() == Structure::kDense ? op.matrix() : op.diagonal_part());
  base::check_positive(kWhere, "tolerance", options.tolerance);
  const at::NoGradGuard no_grad;
  MatrixFunctionResult result;
  result.values = at::zeros_like(v, at::MemoryFormat::Contiguous);
  result.eigen_max = at::zeros({op.batch()}, v.options());
  if (op.batch() == 0 || op.dim() == 0 || functions.empty()) return result;
  std::vector<int64_t> rows(static_cast<size_t>(op.batch()));
  std::iota(rows.begin(), rows.end(), 0);
  if (op.structure() != Structure::kDense && op.rank() == 0) {
    by_element(op, functions, v, result);
  } else if (op.structure() == Structure::kDense || op.dim() <= kSmallDim) {
    by_eigh(op, functions, v, rows, result);
  } else {
    Remaining remaining = by_lanczos(op, functions, v, options, v.scalar_type(), rows, result);
    if (!remaining.rounding.empty()) {
      const Remaining again =
          by_lanczos(op, functions, v, options, at::kDouble, remaining.rounding, result);
      remaining.costly.insert(remaining.costly.end(), again.costly.begin(), again.costly.end());
    }
    by_eigh(op, functions, v, remaining.costly, result);
  }
  return result;
}

}  // namespace scorejet::linalg
