#include "src/linalg/lanczos.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/base/check.h"
#include "src/base/fast_paths.h"
#include "src/base/seed.h"
#include "src/linalg/krylov/eigen_cpu.h"
#include "src/linalg/small_eigh.h"

namespace scorejet::linalg {
namespace {

// Below this multiple of ‖A‖ a new direction is rounding noise: the subspace is invariant. With a
// fresh vector to go on from, early is safe; without, what is cut off here is lost.
double breakdown_tolerance(const at::Tensor& like, bool restart) {
  const bool wide = like.scalar_type() == at::kDouble;
  if (restart) return wide ? 1e-12 : 1e-5;
  return 4 * (wide ? std::numeric_limits<double>::epsilon()
                   : double{std::numeric_limits<float>::epsilon()});
}

// Removes from w [B, c, D] its components along basis [B, c, m, D], twice ("twice is enough",
// Giraud et al. 2005).
at::Tensor orthogonalise(at::Tensor w, const at::Tensor& basis) {
  for (int pass = 0; pass < 2; ++pass) {
    const at::Tensor coefficients = at::matmul(basis, w.unsqueeze(-1));  // [B, c, m, 1]
    w = w - at::matmul(basis.transpose(-1, -2), coefficients).squeeze(-1);
  }
  return w;
}

at::Tensor row_norm(const at::Tensor& w) { return w.square().sum(-1).sqrt(); }

at::Tensor safe_divide(const at::Tensor& w, const at::Tensor& length) {
  return at::where((length > 0).unsqueeze(-1), w / length.clamp_min(1e-30).unsqueeze(-1),
                   at::zeros_like(w));
}

}  // namespace

LanczosBasis::LanczosBasis(const SymmetricOperator& op, const at::Tensor& start, bool restart)
    : op_(op), restart_(restart) {
  base::check_shape("linalg::LanczosBasis", "start", start, {op.batch(), op.dim(), -1});
  const at::Tensor rows = start.detach().transpose(1, 2).contiguous();  // [B, c, D]
  start_norm_ = row_norm(rows);
  scale_ = at::zeros_like(start_norm_);
  next_ = safe_divide(rows, start_norm_);
  storage_ = at::empty({rows.size(0), rows.size(1), std::min<int64_t>(op.dim(), 16), rows.size(2)},
                       rows.options());
}

at::Tensor LanczosBasis::fresh_vector(const at::Tensor& basis) const {
  at::Generator generator =
      base::make_generator(0, "lanczos restart", static_cast<uint64_t>(steps_));
  const at::Tensor noise = at::randn({op_.dim()}, generator, at::TensorOptions(at::kDouble));
  const at::Tensor w = orthogonalise(noise.to(next_.options()).expand_as(next_), basis);
  return safe_divide(w, row_norm(w));
}

void LanczosBasis::grow(int64_t num_steps) {
  const double tiny = breakdown_tolerance(next_, restart_);
  const int64_t target = std::min(steps_ + num_steps, op_.dim());
  if (target > storage_.size(2)) {
    const int64_t capacity = std::min(op_.dim(), std::max(target, 2 * storage_.size(2)));
    at::Tensor larger =
        at::empty({next_.size(0), next_.size(1), capacity, next_.size(2)}, next_.options());
    larger.narrow(2, 0, steps_).copy_(storage_.narrow(2, 0, steps_));
    storage_ = larger;
  }
  while (steps_ < target) {
    storage_.select(2, steps_).copy_(next_);
    ++steps_;
    const at::Tensor basis = storage_.narrow(2, 0, steps_);
    const at::Tensor image = op_.apply(next_.transpose(1, 2)).detach().transpose(1, 2);
    scale_ = at::maximum(scale_, row_norm(image));
    alpha_.push_back((image * next_).sum(-1));
    at::Tensor w = orthogonalise(image, basis);
    at::Tensor beta = row_norm(w);
    const at::Tensor broken = beta <= tiny * scale_;  // also when both are zero
    if (broken.any().item<bool>()) {
      const at::Tensor replacement = restart_ ? fresh_vector(basis) : at::zeros_like(w);
      beta = at::where(broken, at::zeros_like(beta), beta);
      next_ = at::where(broken.unsqueeze(-1), replacement, safe_divide(w, beta));
    } else {
      next_ = w / beta.unsqueeze(-1);
    }
    beta_.push_back(beta);
  }
}

at::Tensor LanczosBasis::vectors() const { return storage_.narrow(2, 0, steps_); }

at::Tensor LanczosBasis::last_beta() const { return beta_.back(); }

at::Tensor LanczosBasis::alpha() const { return at::stack(alpha_, -1); }

at::Tensor LanczosBasis::beta() const { return at::stack(beta_, -1); }

at::Tensor LanczosBasis::tridiagonal() const {
  at::Tensor t = at::diag_embed(alpha());
  if (steps_ > 1) {
    const std::vector<at::Tensor> inner(beta_.begin(), beta_.end() - 1);
    const at::Tensor off = at::stack(inner, -1);
    t = t + at::diag_embed(off, 1) + at::diag_embed(off, -1);
  }
  return t;
}

at::Tensor fix_signs(const at::Tensor& vectors) {
  const at::Tensor index = vectors.abs().argmax(1, /*keepdim=*/true);
  const at::Tensor pivot = vectors.gather(1, index);
  return at::where(pivot < 0, -vectors, vectors);
}

namespace {

EigenPairs dense_pairs(const at::Tensor& matrix, int64_t k) {
  const int64_t dim = matrix.size(1);
  const auto [values, vectors] = small_eigh(matrix);
  EigenPairs result;
  result.values = values.narrow(-1, dim - k, k).flip({-1});
  result.vectors = fix_signs(vectors.narrow(-1, dim - k, k).flip({-1}));
  result.steps = dim;
  result.converged = true;
  return result;
}

EigenPairs diagonal_pairs(const at::Tensor& diagonal, int64_t k) {
  const auto [values, places] = diagonal.topk(k);
  EigenPairs result;
  result.values = values;
  result.vectors = at::zeros({diagonal.size(0), diagonal.size(1), k}, diagonal.options())
                       .scatter_(1, places.unsqueeze(1), 1);
  result.converged = true;
  return result;
}

// All rows together, until the last of them has converged. start [D].
EigenPairs lanczos_pairs(const SymmetricOperator& op, const at::Tensor& start, int64_t k,
                         const EigenOptions& options) {
  LanczosBasis basis(
      op, start.to(op.diagonal_part().options()).unsqueeze(-1).expand({op.batch(), -1, -1}), true);
  const int64_t limit = max_steps(op, k, options);
  int64_t grow = std::min(limit, 2 * k + 16);
  EigenPairs result;
  for (;;) {
    basis.grow(grow);
    const int64_t m = basis.steps();
    const auto [ritz, coefficients] = small_eigh(basis.tridiagonal().squeeze(1));
    const at::Tensor top = coefficients.narrow(-1, m - k, k).flip({-1});  // [B, m, k]
    const at::Tensor scale = ritz.abs().amax(-1, true).clamp_min(1e-30);
    // ‖A y − θ y‖ = β_m |e_mᵀ s| for the Ritz pair (θ, y = V s).
    const at::Tensor residual = basis.last_beta() * top.select(1, m - 1).abs() / scale;
    result.residual = m == op.dim() ? 0.0 : residual.max().item<double>();
    result.converged = result.residual <= options.tolerance;
    if (result.converged || m >= limit) {
      result.values = ritz.narrow(-1, m - k, k).flip({-1});
      result.vectors = fix_signs(at::matmul(basis.vectors().squeeze(1).transpose(1, 2), top));
      result.steps = m;
      return result;
    }
    grow = std::min(limit - m, std::max<int64_t>(8, m / 2));
  }
}

}  // namespace

int64_t max_steps(const SymmetricOperator& op, int64_t k, const EigenOptions& options) {
  return std::min(op.dim(), std::max(k, options.max_steps > 0 ? options.max_steps : 20 * k + 100));
}

EigenPairs top_eigenpairs(const SymmetricOperator& op, int64_t k, const EigenOptions& options) {
  if (k < 1 || k > op.dim()) {
    base::fail_argument("linalg::top_eigenpairs", "k must lie between 1 and D = {}; got {}",
                        op.dim(), k);
  }
  if (op.structure() == Structure::kDense) return dense_pairs(op.matrix().detach(), k);
  if (op.structure() == Structure::kDiagonal) return diagonal_pairs(op.diagonal_part().detach(), k);
  // The same start for every row: a row's answer does not depend on which others it came with.
  at::Generator generator = base::make_generator(0, "lanczos start");
  const at::Tensor start = at::randn({op.dim()}, generator, at::TensorOptions(at::kDouble));
  if (!op.factor().device().is_cpu() || !base::fast(base::FastPath::kEigenpairs))
    return lanczos_pairs(op, start, k, options);
  CpuEigenPairs found = cpu_top_eigenpairs(op, start, k, options);
  EigenPairs& result = found.pairs;
  for (const int64_t row : found.left) {
    const EigenPairs one = lanczos_pairs(op.slice(row, 1), start, k, options);
    result.values[row].copy_(one.values[0]);
    result.vectors[row].copy_(one.vectors[0]);
    result.residual = std::max(result.residual, one.residual);
    result.steps = std::max(result.steps, one.steps);
    result.converged = result.converged && one.converged;
  }
  return result;
}

}  // namespace scorejet::linalg
