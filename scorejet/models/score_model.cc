#include "scorejet/models/score_model.h"

#include <ATen/ATen.h>

#include <cmath>

#include "scorejet/base/check.h"

namespace scorejet::models {
namespace {

constexpr double kVarianceFloor = 1e-5;  // of σ²: keeps the covariance positive in float32 too
constexpr double kSoftplusOne = 0.54132485;  // ln(e − 1): softplus of it is 1
constexpr double kFactorBound = 4.0;         // of c_out

// A smooth bound: u for small u, ±kFactorBound for large.
at::Tensor bounded(const at::Tensor& u) { return u * (1 + (u / kFactorBound).square()).rsqrt(); }

}  // namespace

const char* parameterisation_name(Parameterisation value) {
  return value == Parameterisation::kPsd ? "psd" : "free";
}

Parameterisation parse_parameterisation(const std::string& text) {
  if (text == "psd") return Parameterisation::kPsd;
  if (text == "free") return Parameterisation::kFree;
  base::fail_argument("models::parse_parameterisation",
                      "parameterisation must be psd or free; got \"{}\"", text);
}

ScoreModel::ScoreModel(const ScoreModelOptions& options, const at::Tensor& data_mean,
                       const at::Tensor& data_variance)
    : options_(options), mean_(data_mean.clone()), variance_(data_variance.clone()) {
  base::check_shape("models::ScoreModel", "data_mean", mean_, {options.network.dim});
  base::check_shape("models::ScoreModel", "data_variance", variance_, {options.network.dim});
  base::check_positive("models::ScoreModel", "data_variance", variance_);
  network_ = nets::make_network(options.network);
}

void ScoreModel::to(at::Device device) {
  mean_ = mean_.to(device);
  variance_ = variance_.to(device);
  network_->to(device);
}

at::Tensor ScoreModel::output_scale(const at::Tensor& sigma) const {
  const at::Tensor noise_variance = sigma.square().unsqueeze(-1);
  return (noise_variance * variance_ / (noise_variance + variance_)).sqrt();
}

at::Tensor ScoreModel::residual_variance(const at::Tensor& sigma) const {
  return output_scale(sigma).square().mean(-1);
}

nets::Network::Features ScoreModel::features(const at::Tensor& x, const at::Tensor& sigma,
                                             int order) const {
  const at::Tensor scaled = (x - mean_) * (variance_ + sigma.square().unsqueeze(-1)).rsqrt();
  return network_->features(scaled, 0.25 * sigma.log(), order);
}

at::Tensor ScoreModel::first_order(const at::Tensor& features, const at::Tensor& x,
                                   const at::Tensor& sigma) const {
  const at::Tensor noise_variance = sigma.square().unsqueeze(-1);
  return (mean_ - x) / (variance_ + noise_variance) +
         output_scale(sigma) / noise_variance * network_->first_head(features);
}

linalg::SymmetricOperator ScoreModel::second_order(const at::Tensor& features,
                                                   const at::Tensor& sigma) const {
  using linalg::SymmetricOperator;
  const at::Tensor s2 = sigma.square().unsqueeze(-1);  // σ², [B, 1]
  const at::Tensor scale = output_scale(sigma) / s2;   // c_out/σ², [B, D]
  const nets::HessianOutputs raw = network_->second_head(features);
  const bool psd = options_.parameterisation == Parameterisation::kPsd;
  const at::Tensor gaussian = -1 / (s2 + variance_);  // a of independent Gaussian data

  if (options_.network.hessian == nets::Hessian::kFull) {
    if (!psd) {
      const at::Tensor symmetric = 0.5 * (raw.factor + raw.factor.transpose(1, 2));
      return SymmetricOperator::from_dense(at::diag_embed(gaussian) +
                                           scale.unsqueeze(-1) * symmetric * scale.unsqueeze(1));
    }
    const at::Tensor identity = at::eye(dim(), s2.options());
    const at::Tensor root =
        scale.unsqueeze(-1) * (identity + raw.factor / std::sqrt(static_cast<double>(dim())));
    const at::Tensor floor = ((kVarianceFloor - 1) / s2).unsqueeze(-1) * identity;
    return SymmetricOperator::from_dense(at::matmul(root, root.transpose(1, 2)) + floor);
  }

  at::Tensor diagonal;
  if (psd) {
    const at::Tensor v =
        variance_ * at::softplus(raw.diagonal + kSoftplusOne) + kVarianceFloor * s2;
    diagonal = -1 / (s2 + v);
  } else {
    diagonal = gaussian + scale.square() * raw.diagonal;
  }
  if (!raw.factor.defined()) return SymmetricOperator::from_diagonal(diagonal);
  const double root_rank = std::sqrt(static_cast<double>(raw.factor.size(2)));
  return SymmetricOperator::from_low_rank(diagonal,
                                          scale.unsqueeze(-1) * bounded(raw.factor / root_rank));
}

score::Jet ScoreModel::evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const {
  constexpr const char* kWhere = "models::ScoreModel::evaluate";
  base::check_shape(kWhere, "x", x, {-1, dim()});
  base::check_like(kWhere, "x", x, "the model", mean_);
  base::check_finite(kWhere, "x", x);
  if (order < 1 || order > max_order()) {
    base::fail_argument(kWhere,
                        "order must lie between 1 and {}, what this model was trained for; got {}",
                        max_order(), order);
  }
  const at::Tensor levels = score::broadcast_sigma(kWhere, x, sigma);
  const nets::Network::Features f = features(x, levels, order);
  score::Jet jet;
  jet.s1 = first_order(f.first, x, levels);
  if (order >= 2) jet.s2 = second_order(f.second, levels);
  return jet;
}

}  // namespace scorejet::models
