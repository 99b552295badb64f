#include "scorejet/components.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "scorejet/autodiff_field.h"
#include "scorejet/tweedie.h"
#include "src/base/check.h"
#include "src/linalg/block_eigen.h"
#include "src/linalg/submatrix.h"

namespace scorejet::posterior {
namespace {

constexpr const char* kComponentsWhere = "posterior::top_components";

Components from_second_order(const score::ScoreField& field, const at::Tensor& x,
                             const at::Tensor& sigma, const ComponentsOptions& options) {
  at::NoGradGuard no_grad;
  linalg::SymmetricOperator covariance =
      score::posterior_covariance(sigma, *field.evaluate(x, sigma, 2).s2);
  if (options.indices.defined()) {
    covariance = linalg::principal_submatrix(covariance, options.indices);
  }
  const linalg::EigenPairs pairs =
      linalg::top_eigenpairs(covariance, options.count, {.tolerance = options.tolerance});
  return {
      pairs.values,   pairs.vectors.transpose(1, 2).contiguous(), pairs.residual, pairs.steps, 1,
      pairs.converged};
}

Components from_jacobian(const score::ScoreField& field, const at::Tensor& x,
                         const at::Tensor& sigma, const ComponentsOptions& options) {
  const int64_t rows = x.size(0), dim = x.size(1);
  const bool region = options.indices.defined();
  const at::Tensor indices = region ? options.indices.to(x.device()) : at::Tensor();
  const int64_t size = region ? indices.numel() : dim;
  const int64_t copies = std::clamp<int64_t>(options.max_points / rows, 1, options.count);
  const score::TracedJacobian jacobian(field, x, sigma, copies);
  const at::Tensor variance = sigma.to(at::kDouble).square().view({-1, 1, 1});
  const auto covariance_times = [&](const at::Tensor& v) {
    at::Tensor full = v;
    if (region) {
      full = at::zeros({rows, v.size(1), dim}, v.options()).index_copy(2, indices, v);
    }
    const at::Tensor block = full.to(x.scalar_type());
    const at::Tensor twice = jacobian.apply(block) + jacobian.apply_transposed(block);
    at::Tensor image = 0.5 * twice.to(at::kDouble);
    if (region) image = image.index_select(2, indices);
    return variance * (v + variance * image);
  };
  const linalg::BlockEigenPairs found = linalg::top_eigenpairs(
      covariance_times, rows, size, options.count, x.device(),
      {.tolerance = options.tolerance, .max_iterations = options.max_iterations});
  return {found.pairs.values.to(x.scalar_type()),
          found.pairs.vectors.transpose(1, 2).to(x.scalar_type()).contiguous(),
          found.pairs.residual,
          found.iterations,
          1 + 2 * found.pairs.steps,
          found.pairs.converged};
}

// All of `parts`, one after the other; counts and residuals are the largest.
Components join(const std::vector<Components>& parts) {
  Components all = parts.front();
  std::vector<at::Tensor> values, vectors;
  for (const Components& part : parts) {
    values.push_back(part.values);
    vectors.push_back(part.vectors);
    all.residual = std::max(all.residual, part.residual);
    all.iterations = std::max(all.iterations, part.iterations);
    all.evaluations = std::max(all.evaluations, part.evaluations);
    all.converged = all.converged && part.converged;
  }
  all.values = at::cat(values);
  all.vectors = at::cat(vectors);
  return all;
}

}  // namespace

Components top_components(const score::ScoreField& field, const at::Tensor& x,
                          const at::Tensor& sigma, const ComponentsOptions& options) {
  base::check_shape(kComponentsWhere, "x", x, {-1, field.dim()});
  base::check_finite(kComponentsWhere, "x", x);
  const at::Tensor levels = score::broadcast_sigma(kComponentsWhere, x, sigma);
  if (options.indices.defined()) {
    linalg::check_indices(kComponentsWhere, options.indices, field.dim());
  }
  const int64_t size = options.indices.defined() ? options.indices.numel() : field.dim();
  if (options.count < 1 || options.count > size) {
    base::fail_argument(kComponentsWhere, "count must lie between 1 and the {} coordinates; got {}",
                        size, options.count);
  }
  if (options.max_iterations < 1 || options.max_points < 1) {
    base::fail_argument(kComponentsWhere,
                        "max_iterations and max_points must be >= 1; got {} and {}",
                        options.max_iterations, options.max_points);
  }
  base::check_positive(kComponentsWhere, "tolerance", options.tolerance);
  if (x.size(0) == 0) {
    return {at::empty({0, options.count}, x.options()),
            at::empty({0, options.count, size}, x.options()),
            0,
            0,
            0,
            true};
  }
  if (options.direct && field.max_order() >= 2) {
    return from_second_order(field, x, levels, options);
  }
  std::vector<Components> parts;
  const int64_t step = std::max<int64_t>(1, options.max_points / options.count);
  for (int64_t first = 0; first < x.size(0); first += step) {
    const int64_t count = std::min(step, x.size(0) - first);
    parts.push_back(
        from_jacobian(field, x.narrow(0, first, count), levels.narrow(0, first, count), options));
  }
  return join(parts);
}

}  // namespace scorejet::posterior
