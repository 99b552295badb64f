#include "scorejet/components.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
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

// The leading pairs of σ² (I + σ² S), of a region its block, S known by its products with vectors,
// `width` (0: as many as are wanted) at a time. `evaluations` is left at the number of products.
Components by_products(const linalg::BlockOperator& s, const at::Tensor& x, const at::Tensor& sigma,
                       const ComponentsOptions& options, int64_t width) {
  const int64_t rows = x.size(0), dim = x.size(1);
  const bool region = options.indices.defined();
  const at::Tensor indices = region ? options.indices.to(x.device()) : at::Tensor();
  const at::Tensor variance = sigma.to(at::kDouble).square().view({-1, 1, 1});
  const auto covariance_times = [&](const at::Tensor& v) {
    at::Tensor full = v;
    if (region) {
      full = at::zeros({rows, v.size(1), dim}, v.options()).index_copy(2, indices, v);
    }
    at::Tensor image = s(full);
    if (region) image = image.index_select(2, indices);
    return variance * (v + variance * image);
  };
  const linalg::BlockEigenPairs found = linalg::top_eigenpairs(
      covariance_times, rows, region ? indices.numel() : dim, options.count, x.device(),
      {.tolerance = options.tolerance, .max_iterations = options.max_iterations, .width = width});
  return {found.pairs.values.to(x.scalar_type()),
          found.pairs.vectors.transpose(1, 2).to(x.scalar_type()).contiguous(),
          found.pairs.residual,
          found.iterations,
          found.pairs.steps,
          found.pairs.converged};
}

Components from_jacobian(const score::ScoreField& field, const at::Tensor& x,
                         const at::Tensor& sigma, const ComponentsOptions& options) {
  const int64_t copies = std::clamp<int64_t>(options.max_points / x.size(0), 1, options.count);
  const score::TracedJacobian jacobian(field, x, sigma, copies);
  const auto symmetric_part = [&](const at::Tensor& v) {
    const at::Tensor block = v.to(x.scalar_type());
    const at::Tensor twice = jacobian.apply(block) + jacobian.apply_transposed(block);
    return 0.5 * twice.to(at::kDouble);
  };
  Components found = by_products(symmetric_part, x, sigma, options, 0);
  found.evaluations = 1 + 2 * found.evaluations;
  return found;
}

// J v for some vectors of every row by differences of s1, and how far they can be trusted.
class Differences {
 public:
  Differences(const score::ScoreField& field, const at::Tensor& x, const at::Tensor& sigma,
              int64_t max_points)
      : field_(field), x_(x), sigma_(sigma), max_points_(max_points) {
    const double rounding = x.scalar_type() == at::kDouble ? 2.2e-16 : 1.2e-7;
    step_ = std::cbrt(rounding) * sigma.to(at::kDouble).view({-1, 1, 1});
    s1_ = field.evaluate(x, sigma, 1).s1.to(at::kDouble).unsqueeze(1);
  }

  // v [B, p, D] -> [B, p, D], float64.
  at::Tensor apply(const at::Tensor& v) {
    const int64_t most = std::max<int64_t>(1, max_points_ / x_.size(0));
    std::vector<at::Tensor> pieces;
    for (int64_t first = 0; first < v.size(1); first += most) {
      pieces.push_back(difference(v.narrow(1, first, std::min(most, v.size(1) - first)), 1));
    }
    const at::Tensor result = at::cat(pieces, 1);
    if (error_ < 0) {
      const at::Tensor one = result.narrow(1, 0, 1);
      const at::Tensor apart = (one - difference(v.narrow(1, 0, 1), 2)).norm(2, {2});
      error_ = (apart / one.norm(2, {2}).clamp_min(1e-300)).max().item<double>();
    }
    return result;
  }
  double error() const { return std::max(error_, 0.0); }

 private:
  at::Tensor difference(const at::Tensor& v, double factor) const {
    const at::Tensor length = v.norm(2, {2}, true).clamp_min(1e-300), h = factor * step_;
    const at::Tensor points = x_.unsqueeze(1) + (h * v / length).to(x_.scalar_type());  // [B, p, D]
    const at::Tensor levels = sigma_.repeat_interleave(points.size(1), 0);
    const at::Tensor moved = field_.evaluate(points.flatten(0, 1), levels, 1).s1;
    return (moved.to(at::kDouble).view(points.sizes()) - s1_) * (length / h);
  }

  const score::ScoreField& field_;
  at::Tensor x_, sigma_, step_;
  at::Tensor s1_;  // at x, [B, 1, D]
  int64_t max_points_;
  double error_ = -1;  // not known yet
};

Components from_differences(const score::ScoreField& field, const at::Tensor& x,
                            const at::Tensor& sigma, const ComponentsOptions& options) {
  at::NoGradGuard no_grad;
  Differences jacobian(field, x, sigma, options.max_points);
  const auto products = [&](const at::Tensor& v) { return jacobian.apply(v); };
  Components found = by_products(products, x, sigma, options, 1);
  found.evaluations += 2;  // at x, and the second step of the check
  found.difference_error = jacobian.error();
  return found;
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
    all.difference_error = std::max(all.difference_error, part.difference_error);
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
    const at::Tensor rows = x.narrow(0, first, count), sigmas = levels.narrow(0, first, count);
    parts.push_back(options.forward_only ? from_differences(field, rows, sigmas, options)
                                         : from_jacobian(field, rows, sigmas, options));
  }
  return join(parts);
}

}  // namespace scorejet::posterior
