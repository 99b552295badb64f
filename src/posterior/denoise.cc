#include "scorejet/posterior.h"

#include <ATen/ATen.h>

#include "scorejet/tweedie.h"
#include "src/base/check.h"
#include "src/posterior/parts.h"

namespace scorejet::posterior {
namespace {

constexpr const char* kWhere = "posterior::denoise";

}  // namespace

void set_components(Posterior& posterior, const linalg::EigenPairs& pairs) {
  posterior.eigenvalues = pairs.values;
  posterior.components = pairs.vectors.transpose(1, 2).contiguous();
  posterior.eigen_residual = pairs.residual;
  posterior.eigen_converged = pairs.converged;
}

void set_distances(Posterior& posterior, const Gaussian& gaussian, const at::Tensor& clean) {
  posterior.log_likelihood = gaussian.log_likelihood(clean);
  posterior.mahalanobis = gaussian.mahalanobis_squared(clean) / static_cast<double>(gaussian.dim());
}

Posterior denoise(const score::ScoreField& field, const at::Tensor& x, const at::Tensor& sigma,
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
  base::check_positive(kWhere, "temperature", options.temperature);
  const bool second = field.max_order() >= 2;
  if (!second && (options.num_components > 0 || options.num_samples > 0)) {
    base::fail_argument(
        kWhere, "components and samples need a field with a second-order score; got order 1 only");
  }
  at::NoGradGuard no_grad;
  score::Jet jet = field.evaluate(x, levels, second ? 2 : 1);
  Posterior result;
  if (!second) {
    result.mean = score::posterior_mean(x, levels, jet.s1);
    return result;
  }
  const bool bars = options.num_components == 0 && options.num_samples == 0;
  if (bars && !options.clean.defined()) {  // only error bars are asked for
    jet.s2 = linalg::SymmetricOperator::from_diagonal(jet.s2->diagonal());
  }
  const Gaussian gaussian = Gaussian::from_jet(x, levels, jet).scaled(options.temperature);
  result.mean = gaussian.mean();
  result.variance = gaussian.variance();
  result.num_negative_variances = (result.variance < 0).sum().item<int64_t>();
  if (options.num_components > 0) {
    set_components(result, linalg::top_eigenpairs(gaussian.covariance(), options.num_components));
  }
  if (options.num_samples > 0) {
    result.samples = gaussian.sample(options.num_samples, options.seed, options.first_row);
  }
  if (options.clean.defined()) set_distances(result, gaussian, options.clean);
  return result;
}

}  // namespace scorejet::posterior
