#include "src/linalg/block_eigen.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "src/base/check.h"
#include "src/base/seed.h"
#include "src/linalg/small_eigh.h"

namespace scorejet::linalg {
namespace {

constexpr const char* kBlockWhere = "linalg::top_eigenpairs";
constexpr int64_t kWholeSpace = 32;  // up to this D, or three blocks, the first one is the identity
constexpr int64_t kBlocks = 12;      // of the basis before it is restarted,
constexpr int64_t kLeast = 60;       // or this many vectors

// An orthonormal basis, its image under A, and the Ritz pairs in it; all rows at once.
struct Ritz {
  at::Tensor basis, image;  // [B, m, D]
  at::Tensor values;        // [B, m], descending
  at::Tensor coefficients;  // [B, m, m]: row i is Ritz vector i in the basis
  at::Tensor residuals;     // [B, k, D], A y − θ y of the leading ones
  at::Tensor relative;      // [B, k], their norms against the largest |θ|

  void solve(int64_t leading) {
    const at::Tensor projected = at::matmul(basis, image.transpose(1, 2));
    const auto [theta, s] = small_eigh(0.5 * (projected + projected.transpose(1, 2)));
    values = theta.flip({-1});
    coefficients = s.transpose(1, 2).flip({1});
    const at::Tensor top = coefficients.narrow(1, 0, leading);
    residuals = at::matmul(top, image) -
                values.narrow(1, 0, leading).unsqueeze(-1) * at::matmul(top, basis);
    relative = residuals.square().sum(-1).sqrt() / values.abs().amax(1, true).clamp_min(1e-300);
  }
  // Those of the `width` leading pairs that are worst, [B, width, D], and their relative norms.
  std::pair<at::Tensor, at::Tensor> worst(int64_t width) const {
    if (width == residuals.size(1)) return {residuals, relative};
    const auto [norms, index] = relative.topk(width, 1);
    const at::Tensor rows = index.unsqueeze(-1).expand({-1, -1, residuals.size(2)});
    return {residuals.gather(1, rows), norms};
  }
  void keep(int64_t count) {
    const at::Tensor top = coefficients.narrow(1, 0, count);
    basis = at::matmul(top, basis);
    image = at::matmul(top, image);
  }
};

// The k leading pairs of each row, as they were when the row had converged, or are now.
struct Leading {
  at::Tensor done;                             // [B] bool
  at::Tensor residual{}, values{}, vectors{};  // [B], [B, k], [B, k, D]

  void take(const Ritz& ritz, int64_t k, double tolerance) {
    const at::Tensor latest = ritz.relative.amax(1);
    const at::Tensor latest_values = ritz.values.narrow(1, 0, k);
    const at::Tensor latest_vectors = at::matmul(ritz.coefficients.narrow(1, 0, k), ritz.basis);
    residual = residual.defined() ? at::where(done, residual, latest) : latest;
    values =
        values.defined() ? at::where(done.unsqueeze(-1), values, latest_values) : latest_values;
    vectors = vectors.defined() ? at::where(done.view({-1, 1, 1}), vectors, latest_vectors)
                                : latest_vectors;
    done = residual <= tolerance;
  }
};

at::Tensor noise(int64_t count, int64_t dim, int64_t index, at::Device device) {
  at::Generator generator =
      base::make_generator(0, "block eigenpairs", static_cast<uint64_t>(index));
  return at::randn({1, count, dim}, generator, at::TensorOptions(at::kDouble)).to(device);
}

// Rows of `block` made orthonormal, and orthogonal to `basis` (undefined: nothing yet).
at::Tensor orthonormalise(at::Tensor block, const at::Tensor& basis) {
  for (int pass = 0; pass < 2; ++pass) {  // twice is enough
    if (basis.defined()) {
      block = block - at::matmul(at::matmul(block, basis.transpose(1, 2)), basis);
    }
    block = std::get<0>(at::linalg_qr(block.transpose(1, 2))).transpose(1, 2);
  }
  return block;
}

}  // namespace

BlockEigenPairs top_eigenpairs(const BlockOperator& apply, int64_t batch, int64_t dim, int64_t k,
                               at::Device device, const BlockEigenOptions& options) {
  if (k < 1 || k > dim) {
    base::fail_argument(kBlockWhere, "k must lie between 1 and D = {}; got {}", dim, k);
  }
  at::NoGradGuard no_grad;
  if (options.width < 0 || options.width > k) {
    base::fail_argument(kBlockWhere, "width must lie between 0 and k = {}; got {}", k,
                        options.width);
  }
  const int64_t width = options.width > 0 ? options.width : k;
  const bool whole = dim <= std::max(kWholeSpace, 3 * k);  // three: a restart keeps two
  const int64_t capacity = std::min(dim, std::max(kLeast, kBlocks * k));
  const auto image_of = [&](const at::Tensor& vectors) {
    const at::Tensor result = apply(vectors);
    base::check_shape(kBlockWhere, "A v", result, vectors.sizes());
    base::check_finite(kBlockWhere, "A v", result);
    return result;
  };

  BlockEigenPairs result;
  Ritz ritz;
  ritz.basis = whole ? at::eye(dim, at::TensorOptions(at::kDouble).device(device)).unsqueeze(0)
                     : orthonormalise(noise(width, dim, 0, device), {});
  ritz.basis = ritz.basis.expand({batch, -1, -1}).contiguous();
  ritz.image = image_of(ritz.basis);
  Leading leading{at::zeros({batch}, at::TensorOptions(at::kBool).device(device))};
  for (;;) {
    ++result.iterations;
    const int64_t size = ritz.basis.size(1);
    result.pairs.steps += whole ? dim : width;
    ritz.solve(std::min(k, size));
    if (size >= k) {
      leading.take(ritz, k, options.tolerance);
      result.pairs.converged = whole || leading.done.all().item<bool>();
      if (result.pairs.converged || result.iterations >= options.max_iterations) break;
    }

    if (size + width > capacity) ritz.keep(std::max(2 * k, capacity / 3));
    // A residual of nothing but rounding has no direction to give.
    const auto [residuals, relative] = ritz.worst(std::min(width, std::min(k, size)));
    const at::Tensor random =
        noise(residuals.size(1), dim, result.iterations, device).expand({batch, -1, -1});
    at::Tensor next = at::where((relative > 1e-13).unsqueeze(-1), residuals, random);
    next = next / next.square().sum(-1, true).sqrt();
    next = orthonormalise(next, ritz.basis);
    ritz.basis = at::cat({ritz.basis, next}, 1);
    ritz.image = at::cat({ritz.image, image_of(next)}, 1);
  }
  result.pairs.values = leading.values;
  result.pairs.vectors = fix_signs(leading.vectors.transpose(1, 2));
  result.pairs.residual = batch > 0 ? leading.residual.max().item<double>() : 0.0;
  return result;
}

}  // namespace scorejet::linalg
