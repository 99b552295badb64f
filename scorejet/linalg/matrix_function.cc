#include "scorejet/linalg/matrix_function.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "scorejet/base/check.h"
#include "scorejet/linalg/lanczos.h"

namespace scorejet::linalg {
namespace {

// One column a function: eigenvalues [B, c, m] -> f_j(eigenvalues[:, j]).
at::Tensor evaluate(const std::vector<ScalarFunction>& functions, const at::Tensor& eigenvalues) {
  std::vector<at::Tensor> columns;
  for (size_t j = 0; j < functions.size(); ++j) {
    columns.push_back(functions[j](eigenvalues.select(1, static_cast<int64_t>(j))));
  }
  return at::stack(columns, 1);
}

MatrixFunctionResult by_eigh(const SymmetricOperator& op,
                             const std::vector<ScalarFunction>& functions, const at::Tensor& v) {
  const auto [values, vectors] = at::linalg_eigh(op.matrix());
  const at::Tensor repeated = values.unsqueeze(1).expand({-1, v.size(2), -1});
  const at::Tensor f = evaluate(functions, repeated).transpose(1, 2);  // [B, D, c]
  MatrixFunctionResult result;
  result.values = at::matmul(vectors, f * at::matmul(vectors.transpose(1, 2), v));
  result.eigen_max = values.amax(-1);
  return result;
}

MatrixFunctionResult by_element(const SymmetricOperator& op,
                                const std::vector<ScalarFunction>& functions, const at::Tensor& v) {
  const at::Tensor& a = op.diagonal_part();
  const at::Tensor f = evaluate(functions, a.unsqueeze(1).expand({-1, v.size(2), -1}));
  MatrixFunctionResult result;
  result.values = f.transpose(1, 2) * v;
  result.eigen_max = a.amax(-1);
  return result;
}

MatrixFunctionResult by_lanczos(const SymmetricOperator& op,
                                const std::vector<ScalarFunction>& functions, const at::Tensor& v,
                                const MatrixFunctionOptions& options) {
  constexpr int64_t kStride = 4;  // Krylov vectors between two estimates
  const int64_t limit = std::min(op.dim(), options.max_steps > 0 ? options.max_steps : op.dim());
  LanczosBasis basis(op, v, /*restart=*/false);
  MatrixFunctionResult result;
  at::Tensor previous;  // coefficients [B, c, m]
  for (;;) {
    basis.grow(std::min(kStride, limit - basis.steps()));
    const int64_t m = basis.steps();
    const auto [ritz, u] = at::linalg_eigh(basis.tridiagonal());  // [B, c, m], [B, c, m, m]
    // f(T) e₁ = U f(θ) Uᵀ e₁
    const at::Tensor first_row = u.select(2, 0);
    const at::Tensor coefficients =
        at::matmul(u, (evaluate(functions, ritz) * first_row).unsqueeze(-1)).squeeze(-1);
    const bool whole_space = m == op.dim();
    if (previous.defined()) {
      const at::Tensor change =
          coefficients - at::constant_pad_nd(previous, {0, m - previous.size(-1)});
      const at::Tensor scale = coefficients.square().sum(-1).sqrt().clamp_min(1e-30);
      result.error = (change.square().sum(-1).sqrt() / scale).max().item<double>();
    }
    result.converged = whole_space || (previous.defined() && result.error <= options.tolerance);
    if (whole_space) result.error = 0;
    if (result.converged || m >= limit) {
      const at::Tensor weights = (coefficients * basis.start_norm().unsqueeze(-1)).unsqueeze(-2);
      result.values = at::matmul(weights, basis.vectors()).squeeze(-2).transpose(1, 2);
      // Ritz values of directions that carry no weight (after a breakdown) are not met at all.
      const at::Tensor met = at::where(first_row.abs() > 0, ritz, ritz.amin(-1, true));
      result.eigen_max = met.amax(-1).amax(-1);
      result.steps = m;
      return result;
    }
    previous = coefficients;
  }
}

}  // namespace

at::Tensor phi1(const at::Tensor& t) {
  // expm1 is accurate near 0, so the ratio is too; only t = 0 itself needs its limit.
  return at::where(t == 0, at::ones_like(t), at::expm1(t) / t);
}

MatrixFunctionResult apply_functions(const SymmetricOperator& op,
                                     const std::vector<ScalarFunction>& functions,
                                     const at::Tensor& v, const MatrixFunctionOptions& options) {
  base::check_shape("linalg::apply_functions", "v", v,
                    {op.batch(), op.dim(), static_cast<int64_t>(functions.size())});
  switch (op.structure()) {
    case Structure::kDense:
      return by_eigh(op, functions, v);
    case Structure::kDiagonal:
      return by_element(op, functions, v);
    case Structure::kLowRank:
      break;
  }
  return by_lanczos(op, functions, v, options);
}

}  // namespace scorejet::linalg
