#include "scorejet/experiments/denoising_methods.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "scorejet/base/seed.h"
#include "scorejet/linalg/block_eigen.h"
#include "scorejet/linalg/lanczos.h"
#include "scorejet/posterior/gaussian.h"
#include "scorejet/posterior/residual.h"
#include "scorejet/score/autodiff_field.h"
#include "scorejet/tweedie/moments.h"

namespace scorejet::experiments {
namespace {

at::Tensor level(const at::Tensor& x, double sigma) {
  return at::full({x.size(0)}, sigma, x.options());
}

// `part` of each block of `rows` images, as one.
Posteriors in_blocks(int64_t count, int64_t rows,
                     const std::function<Posteriors(int64_t first, int64_t count)>& part) {
  std::vector<Posteriors> parts;
  for (int64_t first = 0; first < count; first += rows) {
    parts.push_back(part(first, std::min(rows, count - first)));
  }
  const auto join = [&](at::Tensor Posteriors::*member) {
    std::vector<at::Tensor> tensors;
    for (const Posteriors& p : parts) {
      if (!(p.*member).defined()) return at::Tensor();
      tensors.push_back(p.*member);
    }
    return at::cat(tensors);
  };
  Posteriors all;
  for (at::Tensor Posteriors::*member :
       {&Posteriors::mean, &Posteriors::sd, &Posteriors::values, &Posteriors::components,
        &Posteriors::log_likelihood, &Posteriors::mahalanobis}) {
    all.*member = join(member);
  }
  for (const Posteriors& p : parts) all.num_indefinite += p.num_indefinite;
  return all;
}

void add_distances(Posteriors& result, const posterior::Gaussian& gaussian,
                   const at::Tensor& clean) {
  const auto d = static_cast<double>(clean.size(1));
  result.log_likelihood = gaussian.log_likelihood(clean);
  result.mahalanobis = gaussian.mahalanobis_squared(clean) / d;
}

// One image's whole covariance: its leading eigenpairs by block Krylov, as an eigendecomposition of
// 3,072 rows takes a minute; whether it is definite by Cholesky.
Posteriors jacobian_posterior(const score::ScoreField& field, const at::Tensor& clean,
                              const at::Tensor& noisy, double sigma, int64_t num_components) {
  const int64_t dim = noisy.size(1);
  const at::Tensor levels = level(noisy, sigma);
  const score::TracedJacobian traced(field, noisy, levels, std::min<int64_t>(dim, 32));
  at::NoGradGuard no_grad;
  const at::Tensor jacobian = traced.apply_transposed(at::eye(dim, noisy.options()).unsqueeze(0));
  const posterior::Gaussian gaussian(
      tweedie::posterior_mean(noisy, levels, field.evaluate(noisy, levels, 1).s1),
      tweedie::posterior_covariance(levels, linalg::SymmetricOperator::from_dense(
                                                0.5 * (jacobian + jacobian.transpose(1, 2)))));
  const at::Tensor matrix = gaussian.covariance().matrix().to(at::kDouble);
  Posteriors result;
  result.mean = gaussian.mean();
  result.sd = gaussian.variance().sqrt();  // NaN where negative
  const auto pairs = linalg::top_eigenpairs(
      [&](const at::Tensor& v) { return at::matmul(v, matrix); }, noisy.size(0), noisy.size(1),
      num_components, at::kCPU, {.tolerance = 1e-5});
  result.values = pairs.pairs.values.to(noisy.scalar_type());
  result.components = pairs.pairs.vectors.transpose(1, 2).to(noisy.scalar_type());
  result.num_indefinite = (std::get<1>(at::linalg_cholesky_ex(matrix)) != 0).sum().item<int64_t>();
  if (result.num_indefinite == 0) add_distances(result, gaussian, clean);
  return result;
}

}  // namespace

at::Tensor denoised_means(const score::ScoreField& field, const at::Tensor& noisy, double sigma) {
  at::NoGradGuard no_grad;
  return in_blocks(noisy.size(0), 64,
                   [&](int64_t first, int64_t count) {
                     const at::Tensor x = noisy.narrow(0, first, count);
                     const at::Tensor levels = level(x, sigma);
                     Posteriors part;
                     part.mean =
                         tweedie::posterior_mean(x, levels, field.evaluate(x, levels, 1).s1);
                     return part;
                   })
      .mean;
}

Posteriors direct_posteriors(const score::ScoreField& field, const at::Tensor& clean,
                             const at::Tensor& noisy, double sigma, int64_t num_components) {
  at::NoGradGuard no_grad;
  return in_blocks(noisy.size(0), 32, [&](int64_t first, int64_t count) {
    const at::Tensor x = noisy.narrow(0, first, count);
    const at::Tensor levels = level(x, sigma);
    const posterior::Gaussian gaussian =
        posterior::Gaussian::from_jet(x, levels, field.evaluate(x, levels, 2));
    Posteriors part;
    part.mean = gaussian.mean();
    part.sd = gaussian.standard_deviation();
    if (num_components > 0) {
      const auto pairs = linalg::top_eigenpairs(gaussian.covariance(), num_components);
      part.values = pairs.values;
      part.components = pairs.vectors.transpose(1, 2).contiguous();
    }
    add_distances(part, gaussian, clean.narrow(0, first, count));
    return part;
  });
}

Posteriors jacobian_posteriors(const score::ScoreField& field, const at::Tensor& clean,
                               const at::Tensor& noisy, double sigma, int64_t num_components) {
  return in_blocks(noisy.size(0), 1, [&](int64_t first, int64_t count) {
    return jacobian_posterior(field, clean.narrow(0, first, count), noisy.narrow(0, first, count),
                              sigma, num_components);
  });
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

Posteriors subspace_posteriors(const score::ScoreField& field, const at::Tensor& noisy,
                               double sigma, int64_t num_components) {
  Posteriors result = in_blocks(noisy.size(0), 2, [&](int64_t first, int64_t count) {
    const SubspacePairs pairs =
        subspace_iteration(field, noisy.narrow(0, first, count), sigma, {.count = num_components});
    Posteriors part;
    part.values = pairs.values;
    part.components = pairs.vectors;
    return part;
  });
  result.mean = denoised_means(field, noisy, sigma);
  return result;
}

Posteriors pca_posteriors(const score::ScoreField& field, const at::Tensor& clean,
                          const at::Tensor& noisy, double sigma, const at::Tensor& residuals,
                          int64_t num_components) {
  at::NoGradGuard no_grad;
  Posteriors result;
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
  result.sd = gaussian.standard_deviation();
  result.values = values.expand({count, -1});
  result.components = basis;
  add_distances(result, gaussian, clean);
  return result;
}

}  // namespace scorejet::experiments
