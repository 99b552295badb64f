#include "scorejet/gaussian.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "scorejet/tweedie.h"
#include "src/base/check.h"
#include "src/base/seed.h"
#include "src/linalg/factorisation.h"
#include "src/linalg/small_eigh.h"
#include "src/linalg/submatrix.h"

namespace scorejet::posterior {
namespace {

using linalg::Structure;

// Standard normal numbers [B, num, count], row i from its own generator.
at::Tensor draw(const at::Tensor& like, const char* stream, int64_t num, int64_t count,
                uint64_t seed, int64_t first_row) {
  std::vector<at::Tensor> rows;
  for (int64_t i = 0; i < like.size(0); ++i) {
    at::Generator generator =
        base::make_generator(seed, stream, static_cast<uint64_t>(first_row + i));
    rows.push_back(at::randn({num, count}, generator, at::TensorOptions(like.scalar_type())));
  }
  if (rows.empty()) return at::empty({0, num, count}, like.options());
  return at::stack(rows).to(like.device());
}

void check_no_negative(const char* where, const at::Tensor& variances) {
  const at::Tensor bad = variances < 0;
  const int64_t negative = bad.sum().item<int64_t>();
  if (negative > 0) {
    base::fail_domain(where,
                      "covariance must have no negative part; got {} negative variances, the first "
                      "at row {}, the least {} (a psd model has none)",
                      negative, at::nonzero(bad)[0][0].item<int64_t>(),
                      variances.min().item<double>());
  }
}

}  // namespace

Gaussian::Gaussian(at::Tensor mean, linalg::SymmetricOperator covariance)
    : mean_(std::move(mean)),
      covariance_(std::move(covariance)),
      variance_(covariance_.diagonal()) {
  constexpr const char* kWhere = "posterior::Gaussian";
  base::check_shape(kWhere, "mean", mean_, {covariance_.batch(), covariance_.dim()});
  base::check_finite(kWhere, "mean", mean_);
  // What is not finite in a factor is not so in its squares either.
  const bool seen = covariance_.structure() != Structure::kDense;
  if (seen && at::isfinite(variance_.sum()).item<bool>()) return;
  const at::Tensor bad = linalg::finite_rows(covariance_).logical_not();
  if (bad.any().item<bool>()) {
    base::fail_domain(kWhere, "covariance must be finite; got NaN or infinity at row {}",
                      at::nonzero(bad)[0][0].item<int64_t>());
  }
}

Gaussian Gaussian::from_jet(const at::Tensor& x, const at::Tensor& sigma, const score::Jet& jet) {
  constexpr const char* kWhere = "posterior::Gaussian::from_jet";
  base::check_shape(kWhere, "x", x, {-1, -1});
  if (!jet.s2) base::fail_argument(kWhere, "jet must have a second-order score; got order 1 only");
  const at::Tensor levels = score::broadcast_sigma(kWhere, x, sigma);
  return {score::posterior_mean(x, levels, jet.s1), score::posterior_covariance(levels, *jet.s2)};
}

at::Tensor Gaussian::standard_deviation() const {
  const at::Tensor values = variance();
  check_no_negative("posterior::Gaussian::standard_deviation", values);
  return values.sqrt();
}

Interval Gaussian::interval(double level) const {
  if (!(level > 0 && level < 1)) {
    base::fail_domain("posterior::Gaussian::interval", "level must lie between 0 and 1; got {}",
                      level);
  }
  const double z =
      std::numbers::sqrt2 * at::erfinv(at::full({}, level, at::kDouble)).item<double>();
  const at::Tensor reach = z * standard_deviation();
  return {mean_ - reach, mean_ + reach};
}

at::Tensor Gaussian::sample(int64_t num, uint64_t seed, int64_t first_row) const {
  constexpr const char* kWhere = "posterior::Gaussian::sample";
  if (num < 0) base::fail_argument(kWhere, "num must be >= 0; got {}", num);
  const at::Tensor noise = draw(mean_, "posterior diagonal", num, dim(), seed, first_row);
  const at::Tensor centre = mean_.unsqueeze(1);
  if (covariance_.structure() == Structure::kDense) {
    const auto [values, vectors] = linalg::small_eigh(covariance_.matrix());
    check_no_negative(kWhere, values);
    return centre + at::matmul(noise * values.sqrt().unsqueeze(1), vectors.transpose(1, 2));
  }
  check_no_negative(kWhere, covariance_.diagonal_part());
  const at::Tensor diagonal = covariance_.diagonal_part().sqrt().unsqueeze(1) * noise;
  if (covariance_.structure() == Structure::kDiagonal) return centre + diagonal;
  const at::Tensor& factor = covariance_.factor();
  const at::Tensor weights = draw(mean_, "posterior factor", num, factor.size(2), seed, first_row);
  return centre + (diagonal + at::matmul(weights, factor.transpose(1, 2)));
}

at::Tensor Gaussian::residual(const char* where, const at::Tensor& x) const {
  base::check_shape(where, "x", x, mean_.sizes());
  base::check_finite(where, "x", x);
  return x - mean_;
}

at::Tensor Gaussian::mahalanobis_squared(const at::Tensor& x) const {
  const at::Tensor error = residual("posterior::Gaussian::mahalanobis_squared", x);
  return linalg::Factorisation(covariance_).quadratic(error);
}

at::Tensor Gaussian::log_likelihood(const at::Tensor& x) const {
  const at::Tensor error = residual("posterior::Gaussian::log_likelihood", x);
  const linalg::Factorisation factorisation(covariance_);
  const double constant = static_cast<double>(dim()) * std::log(2 * std::numbers::pi);
  return -0.5 * (constant + factorisation.log_determinant() + factorisation.quadratic(error));
}

at::Tensor Gaussian::entropy() const {
  const double constant = static_cast<double>(dim()) * (1 + std::log(2 * std::numbers::pi));
  return 0.5 * (constant + linalg::Factorisation(covariance_).log_determinant());
}

at::Tensor Gaussian::crps(const at::Tensor& x) const {
  const at::Tensor error = residual("posterior::Gaussian::crps", x);
  const at::Tensor sd = standard_deviation();
  const at::Tensor z = error / sd;
  const at::Tensor density =
      (-0.5 * z.square()).exp() * (std::numbers::inv_sqrtpi / std::numbers::sqrt2);
  const at::Tensor score =
      sd * (z * at::erf(z / std::numbers::sqrt2) + 2 * density - std::numbers::inv_sqrtpi);
  return at::where(sd > 0, score, error.abs());
}

Gaussian Gaussian::scaled(double temperature) const {
  if (temperature == 1) return *this;
  return scaled(at::full({}, temperature, mean_.options()));
}

Gaussian Gaussian::scaled(const at::Tensor& temperature) const {
  constexpr const char* kWhere = "posterior::Gaussian::scaled";
  if (temperature.dim() != 0) {
    base::check_shape(kWhere, "temperature", temperature, {batch()});
  }
  const at::Tensor factor = temperature.to(mean_.options());
  base::check_positive(kWhere, "temperature", factor);
  base::check_finite(kWhere, "temperature", factor);
  return {mean_, covariance_.affine(at::zeros_like(factor), factor)};
}

Gaussian Gaussian::region(const at::Tensor& indices) const {
  linalg::SymmetricOperator block = linalg::principal_submatrix(covariance_, indices);
  return {mean_.index_select(1, indices.to(mean_.device())), std::move(block)};
}

at::Tensor mask_indices(const at::Tensor& mask, int64_t channels) {
  constexpr const char* kWhere = "posterior::mask_indices";
  if (mask.scalar_type() != at::kBool) {
    base::fail_argument(kWhere, "mask must be bool; got {}", at::toString(mask.scalar_type()));
  }
  const at::Tensor indices = at::nonzero(mask.flatten().repeat({channels})).squeeze(-1);
  if (indices.numel() == 0) {
    base::fail_argument(kWhere, "mask must select at least one coordinate; got none of {}",
                        mask.numel());
  }
  return indices;
}

at::Tensor box_indices(at::IntArrayRef image_shape, int64_t top, int64_t left, int64_t height,
                       int64_t width) {
  constexpr const char* kWhere = "posterior::box_indices";
  if (image_shape.size() != 3) {
    base::fail_argument(kWhere, "image_shape must be channels, height and width; got {} numbers",
                        image_shape.size());
  }
  const int64_t rows = image_shape[1], columns = image_shape[2];
  if (top < 0 || left < 0 || height < 1 || width < 1 || top + height > rows ||
      left + width > columns) {
    base::fail_argument(
        kWhere, "box must lie inside the {} x {} image; got rows {} to {}, columns {} to {}", rows,
        columns, top, top + height, left, left + width);
  }
  at::Tensor mask = at::zeros({rows, columns}, at::kBool);
  mask.narrow(0, top, height).narrow(1, left, width).fill_(true);
  return mask_indices(mask, image_shape[0]);
}

}  // namespace scorejet::posterior
