#include "scorejet/posterior/denoise.h"

#include <ATen/ATen.h>

#include "scorejet/base/check.h"
#include "scorejet/base/seed.h"
#include "scorejet/linalg/lanczos.h"
#include "scorejet/tweedie/moments.h"

namespace scorejet::posterior {
namespace {

constexpr const char* kWhere = "posterior::denoise";

// Standard normal numbers [B, S, count], row i from its own generator.
at::Tensor draw(const DenoiseOptions& options, const at::Tensor& like, const char* stream,
                int64_t count) {
  std::vector<at::Tensor> rows;
  for (int64_t i = 0; i < like.size(0); ++i) {
    at::Generator generator =
        base::make_generator(options.seed, stream, static_cast<uint64_t>(options.first_row + i));
    rows.push_back(
        at::randn({options.num_samples, count}, generator, at::TensorOptions(like.scalar_type())));
  }
  return at::stack(rows).to(like.device());
}

void check_no_negative(const at::Tensor& variances) {
  const int64_t negative = (variances < 0).sum().item<int64_t>();
  if (negative > 0) {
    base::fail_domain(
        kWhere,
        "samples need a covariance without negative parts; got {} negative variances, "
        "the least {} (a psd model has none)",
        negative, variances.min().item<double>());
  }
}

at::Tensor deviations(const linalg::SymmetricOperator& covariance, const DenoiseOptions& options,
                      const at::Tensor& x) {
  using linalg::Structure;
  const at::Tensor noise = draw(options, x, "posterior diagonal", x.size(1));
  if (covariance.structure() == Structure::kDense) {
    const auto [values, vectors] = at::linalg_eigh(covariance.matrix());
    check_no_negative(values);
    return at::matmul(noise * values.sqrt().unsqueeze(1), vectors.transpose(1, 2));
  }
  check_no_negative(covariance.diagonal_part());
  const at::Tensor diagonal = covariance.diagonal_part().sqrt().unsqueeze(1) * noise;
  if (covariance.structure() == Structure::kDiagonal) return diagonal;
  const at::Tensor& factor = covariance.factor();
  const at::Tensor weights = draw(options, x, "posterior factor", factor.size(2));
  return diagonal + at::matmul(weights, factor.transpose(1, 2));
}

}  // namespace

DenoiseResult denoise(const score::ScoreField& field, const at::Tensor& x, const at::Tensor& sigma,
                      const DenoiseOptions& options) {
  base::check_shape(kWhere, "x", x, {-1, field.dim()});
  base::check_finite(kWhere, "x", x);
  const at::Tensor levels = score::broadcast_sigma(kWhere, x, sigma);
  if (options.num_components < 0 || options.num_components > field.dim()) {
    base::fail_argument(kWhere, "num_components must lie between 0 and D = {}; got {}", field.dim(),
                        options.num_components);
  }
  if (options.num_samples < 0) {
    base::fail_argument(kWhere, "num_samples must be >= 0; got {}", options.num_samples);
  }
  const bool second = field.max_order() >= 2;
  if (!second && (options.num_components > 0 || options.num_samples > 0)) {
    base::fail_argument(
        kWhere, "components and samples need a field with a second-order score; got order 1 only");
  }
  at::NoGradGuard no_grad;
  const score::Jet jet = field.evaluate(x, levels, second ? 2 : 1);
  DenoiseResult result;
  result.mean = tweedie::posterior_mean(x, levels, jet.s1);
  if (!second) return result;

  const linalg::SymmetricOperator covariance = tweedie::posterior_covariance(levels, *jet.s2);
  result.variance = covariance.diagonal();
  result.num_negative_variances = (result.variance < 0).sum().item<int64_t>();
  if (options.num_components > 0) {
    const linalg::EigenPairs pairs = linalg::top_eigenpairs(covariance, options.num_components);
    result.eigenvalues = pairs.values;
    result.components = pairs.vectors.transpose(1, 2).contiguous();
    result.eigen_residual = pairs.residual;
    result.eigen_converged = pairs.converged;
  }
  if (options.num_samples > 0) {
    result.samples = result.mean.unsqueeze(1) + deviations(covariance, options, x);
  }
  return result;
}

}  // namespace scorejet::posterior
