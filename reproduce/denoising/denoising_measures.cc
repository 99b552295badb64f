#include "reproduce/denoising/denoising_measures.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "scorejet/calibration.h"
#include "src/base/check.h"
#include "src/base/seed.h"
#include "src/posterior/residual.h"

namespace scorejet::reproduce {
namespace {

using Json = nlohmann::ordered_json;

const std::vector<double> kLevels{0.5, 0.8, 0.9, 0.95, 0.99};

// Ranks from 0, those of equal values averaged.
std::vector<double> ranks(const at::Tensor& values) {
  const at::Tensor v = values.reshape({-1}).to(at::kDouble).contiguous();
  const auto* data = v.data_ptr<double>();
  const auto n = static_cast<size_t>(v.numel());
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return data[a] < data[b]; });
  std::vector<double> result(n);
  for (size_t first = 0; first < n;) {
    size_t last = first;
    while (last + 1 < n && data[order[last + 1]] == data[order[first]]) ++last;
    const double rank = 0.5 * static_cast<double>(first + last);
    for (size_t i = first; i <= last; ++i) result[order[i]] = rank;
    first = last + 1;
  }
  return result;
}

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }

}  // namespace

double rank_correlation(const at::Tensor& a, const at::Tensor& b) {
  base::check_shape("reproduce::rank_correlation", "b", b, a.sizes());
  const std::vector<double> x = ranks(a), y = ranks(b);
  const auto n = static_cast<double>(x.size());
  const double middle = 0.5 * (n - 1);
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double u = x[i] - middle, v = y[i] - middle;
    xx += u * u, yy += v * v, xy += u * v;
  }
  return xy / std::sqrt(xx * yy);
}

Json measure_posteriors(const Posterior& posteriors, const at::Tensor& clean,
                        const at::Tensor& counted, const std::vector<int64_t>& image_shape) {
  const at::Tensor residual = clean - posteriors.mean;
  Json row;
  row["images"] = clean.size(0);
  row["psnr"] = posterior::peak_signal_to_noise(clean, posteriors.mean);
  row["ssim"] =
      posterior::structural_similarity(clean, posteriors.mean, image_shape).mean().item<double>();
  row["nll"] = Json();
  row["mahalanobis"] = Json();
  if (posteriors.log_likelihood.defined()) {
    row["nll"] =
        -posteriors.log_likelihood.mean().item<double>() / static_cast<double>(clean.size(1));
    row["mahalanobis"] = posteriors.mahalanobis.mean().item<double>();
  }
  for (const char* key : {"coverage_90", "coverage_error", "sd_rank", "sd_rank_ideal"}) {
    row[key] = Json();
  }
  if (posteriors.variance.defined()) {
    const at::Tensor index = at::nonzero(counted).squeeze(-1);
    const at::Tensor sd = posteriors.variance.sqrt().index_select(1, index);
    const at::Tensor error = residual.index_select(1, index).abs();
    const at::Tensor distance = error / sd;  // NaN, so never inside, where sd is
    const std::vector<double> widths = posterior::gaussian_widths(kLevels);
    double sum = 0;
    for (size_t i = 0; i < kLevels.size(); ++i) {
      const double share = (distance <= widths[i]).to(at::kDouble).mean().item<double>();
      sum += std::abs(share - kLevels[i]);
      if (kLevels[i] == 0.9) row["coverage_90"] = share;
    }
    row["coverage_error"] = sum / static_cast<double>(kLevels.size());
    const at::Tensor known = at::nan_to_num(sd, 0);
    row["sd_rank"] = number_or_null(rank_correlation(known, error));
    const at::Tensor draws =
        at::randn(sd.sizes(), base::make_generator(0, "ideal errors"), sd.options());
    row["sd_rank_ideal"] = number_or_null(rank_correlation(known, (known * draws).abs()));
  }
  for (const int64_t k : {1, 5, 20, 50}) {
    const std::string key = fmt::format("energy_{}", k);
    row[key] = Json();
    if (!posteriors.components.defined()) continue;
    const int64_t axis = posteriors.components.dim() - 2;
    if (posteriors.components.size(axis) < k) continue;
    row[key] = posterior::energy_share(residual, posteriors.components.narrow(axis, 0, k))
                   .mean()
                   .item<double>();
  }
  return row;
}

Json measure_agreement(const Posterior& direct, const Posterior& other, const at::Tensor& counted) {
  const at::Tensor first =
      (direct.components.select(1, 0) * other.components.select(1, 0)).sum(-1).abs();
  const at::Tensor product = at::matmul(direct.components.narrow(1, 0, 5),
                                        other.components.narrow(1, 0, 5).transpose(1, 2));
  const at::Tensor index = at::nonzero(counted).squeeze(-1);
  Json row;
  row["cosine_1"] = first.median().item<double>();
  row["overlap_5"] = product.square().sum({1, 2}).mean().item<double>() / 5;
  row["sd_agreement"] = number_or_null(
      rank_correlation(direct.variance.sqrt().index_select(1, index),
                       at::nan_to_num(other.variance.sqrt().index_select(1, index), 0)));
  return row;
}

}  // namespace scorejet::reproduce
