#include "reproduce/denoising/denoising_methods.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "scorejet/autodiff_field.h"
#include "scorejet/gaussian.h"
#include "src/base/seed.h"
#include "src/posterior/parts.h"
#include "src/posterior/residual.h"

namespace scorejet::reproduce {
namespace {

using posterior::Covariance;

at::Tensor level(const at::Tensor& x, double sigma) {
  return at::full({x.size(0)}, sigma, x.options());
}

}  // namespace

at::Tensor denoised_means(const score::ScoreField& field, const at::Tensor& noisy, double sigma) {
  return posterior::posteriors(field, noisy, sigma, {.covariance = Covariance::kSubspace}).mean;
}

Posterior direct_posteriors(const score::ScoreField& field, const at::Tensor& clean,
                            const at::Tensor& noisy, double sigma, int64_t num_components) {
  return posterior::posteriors(
      field, noisy, sigma,
      {.wanted = {.num_components = num_components, .clean = clean}, .block = 32});
}

Posterior jacobian_posteriors(const score::ScoreField& field, const at::Tensor& clean,
                              const at::Tensor& noisy, double sigma, int64_t num_components) {
  return posterior::posteriors(field, noisy, sigma,
                               {.covariance = Covariance::kExact,
                                .wanted = {.num_components = num_components, .clean = clean},
                                .block = 1,
                                .copies = 32,
                                .tolerance = 1e-5});
}

SubspacePairs subspace_iteration(const score::ScoreField& field, const at::Tensor& noisy,
                                 double sigma, const SubspaceOptions& options) {
  const int64_t rows = noisy.size(0), dim = noisy.size(1);
  const score::TracedJacobian jacobian(field, noisy, level(noisy, sigma), options.count);
  at::NoGradGuard no_grad;
  const auto orthonormal = [](const at::Tensor& v) {  // rows of [B, K, D]
    return std::get<0>(at::linalg_qr(v.transpose(1, 2))).transpose(1, 2).contiguous();
  };
  const double variance = sigma * sigma;
  at::Tensor basis = orthonormal(
      at::randn({rows, options.count, dim}, base::make_generator(0, "subspace"), noisy.options()));
  SubspacePairs result;
  for (;;) {
    const at::Tensor image = variance * (basis + variance * jacobian.apply_transposed(basis));
    ++result.iterations;
    const at::Tensor small = at::matmul(basis, image.transpose(1, 2));
    const auto [values, rotation] = at::linalg_eigh(0.5 * (small + small.transpose(1, 2)));
    const at::Tensor turn = rotation.flip(-1).transpose(1, 2);  // rows: leading first
    result.values = values.flip(-1);
    result.vectors = at::matmul(turn, basis);
    const at::Tensor rest = at::matmul(turn, image) - result.values.unsqueeze(-1) * result.vectors;
    result.residual = (rest.norm(2, -1) / result.values.narrow(1, 0, 1).abs()).max().item<double>();
    if (result.residual <= options.tolerance || result.iterations >= options.max_iterations) break;
    basis = orthonormal(image);
  }
  return result;
}

Posterior subspace_posteriors(const score::ScoreField& field, const at::Tensor& noisy, double sigma,
                              int64_t num_components) {
  constexpr int64_t kRows = 2;  // images at a time
  std::vector<at::Tensor> values, components;
  for (int64_t first = 0; first < noisy.size(0); first += kRows) {
    const SubspacePairs pairs =
        subspace_iteration(field, noisy.narrow(0, first, std::min(kRows, noisy.size(0) - first)),
                           sigma, {.count = num_components});
    values.push_back(pairs.values);
    components.push_back(pairs.vectors);
  }
  Posterior result;
  result.mean = denoised_means(field, noisy, sigma);
  result.eigenvalues = at::cat(values);
  result.components = at::cat(components);
  return result;
}

Posterior pca_posteriors(const score::ScoreField& field, const at::Tensor& clean,
                         const at::Tensor& noisy, double sigma, const at::Tensor& residuals,
                         int64_t num_components) {
  at::NoGradGuard no_grad;
  Posterior result;
  result.mean = denoised_means(field, noisy, sigma);
  const at::Tensor basis = posterior::principal_directions(residuals, num_components);  // [K, D]
  const at::Tensor inside = at::matmul(residuals, basis.t());                           // [M, K]
  const at::Tensor values = inside.square().mean(0);
  // What is left lies in D − K directions; along the components its share is theirs already.
  const auto dim = static_cast<double>(residuals.size(1));
  const at::Tensor rest = (residuals - at::matmul(inside, basis)).square().mean(0) *
                          (dim / (dim - static_cast<double>(num_components)));
  const at::Tensor beyond = (values - at::matmul(basis.square(), rest)).clamp_min(0);
  const int64_t count = noisy.size(0);
  const posterior::Gaussian gaussian(
      result.mean, linalg::SymmetricOperator::from_low_rank(
                       rest.expand({count, -1}),
                       (basis.t() * beyond.sqrt()).unsqueeze(0).expand({count, -1, -1})));
  result.variance = gaussian.variance();
  result.eigenvalues = values.expand({count, -1});
  result.components = basis;
  posterior::set_distances(result, gaussian, clean);
  return result;
}

}  // namespace scorejet::reproduce
