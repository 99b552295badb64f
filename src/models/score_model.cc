#include "scorejet/score_model.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "src/base/check.h"
#include "src/models/bounded_factor.h"
#include "src/nets/network.h"
#include "src/score/padded_field.h"

namespace scorejet::models {
namespace {

constexpr double kVarianceFloor = 1e-5;      // keeps the covariance positive in float32 too
constexpr double kSoftplusOne = 0.54132485;  // ln(e − 1): softplus of it is 1

// Where entry (i, k, l) of a symmetric tensor stands among those with i <= k <= l, in order. [D³]
at::Tensor symmetric_index(int64_t d) {
  std::vector<int64_t> place(static_cast<size_t>(d * d * d));
  const auto at = [&](int64_t i, int64_t k, int64_t l) -> int64_t& {
    return place[static_cast<size_t>((i * d + k) * d + l)];
  };
  int64_t next = 0;
  for (int64_t i = 0; i < d; ++i) {
    for (int64_t k = i; k < d; ++k) {
      for (int64_t l = k; l < d; ++l, ++next) {
        at(i, k, l) = at(i, l, k) = at(k, i, l) = at(k, l, i) = at(l, i, k) = at(l, k, i) = next;
      }
    }
  }
  return at::tensor(place, at::kLong);
}

double root(int64_t count) { return std::sqrt(static_cast<double>(count)); }

}  // namespace

const char* parameterisation_name(Parameterisation value) {
  return value == Parameterisation::kPsd ? "psd" : "free";
}

const char* output_scale_name(OutputScale value) {
  return value == OutputScale::kNoise ? "noise" : "data";
}

ScoreModel::ScoreModel(const ScoreModelOptions& options, const at::Tensor& data_mean,
                       const at::Tensor& data_variance,
                       std::shared_ptr<const score::ScoreField> first)
    : options_(options),
      mean_(data_mean.clone()),
      variance_(data_variance.clone()),
      first_(std::move(first)) {
  base::check_shape("models::ScoreModel", "data_mean", mean_, {options.network.dim});
  base::check_shape("models::ScoreModel", "data_variance", variance_, {options.network.dim});
  base::check_positive("models::ScoreModel", "data_variance", variance_);
  if (learns_first() != options.given_first.empty() || (first_ && first_->dim() != dim())) {
    base::fail_argument(
        "models::ScoreModel",
        "first must be a field of dimension {} where given_first names one; got "
        "given_first \"{}\" and {}",
        dim(), options.given_first,
        first_ ? fmt::format("a field of dimension {}", first_->dim()) : "no field");
  }
  options_.network.first = learns_first();
  options_.network.kind = nets::resolve_kind(options_.network);
  network_ = nets::make_network(options_.network);
  if (options.network.s3 == nets::Structure::kFull) third_index_ = symmetric_index(dim());
}

const nets::Resizable& ScoreModel::resizable(int64_t height, int64_t width) const {
  const auto* network = dynamic_cast<const nets::Resizable*>(network_.get());
  if (!network) {
    base::fail_argument("models::ScoreModel::resized",
                        "another image size than the trained one needs a convolutional network; "
                        "got {} and {} x {}",
                        options_.network.kind, height, width);
  }
  return *network;
}

ScoreModel ScoreModel::resized(int64_t height, int64_t width) const {
  ScoreModel copy = *this;
  copy.network_ = resizable(height, width).resized(height, width);
  nets::NetworkOptions& network = copy.options_.network;
  if (network.image_shape[1] == height && network.image_shape[2] == width) return copy;
  const int64_t channels = network.image_shape[0];
  const auto spread = [&](const at::Tensor& moment, const char* name) {
    const at::Tensor rows = moment.view({channels, -1}), first = rows.narrow(1, 0, 1);
    if (!rows.eq(first).all().item<bool>()) {
      base::fail_argument("models::ScoreModel::resized",
                          "{} must be the same at every pixel of a channel; got {} to {}", name,
                          moment.min().item<double>(), moment.max().item<double>());
    }
    return first.expand({channels, height * width}).reshape({-1});
  };
  copy.mean_ = spread(mean_, "data_mean");
  copy.variance_ = spread(variance_, "data_variance");
  network.image_shape = {channels, height, width};
  network.dim = channels * height * width;
  if (network.s3 == nets::Structure::kLowRank) network.s3 = nets::Structure::kNone;
  return copy;
}

void ScoreModel::to(at::Device device) {
  mean_ = mean_.to(device);
  variance_ = variance_.to(device);
  if (third_index_.defined()) third_index_ = third_index_.to(device);
  network_->to(device);
}

ScoreModel::Preconditioner ScoreModel::precondition(const at::Tensor& sigma) const {
  Preconditioner p;
  p.noise_variance = sigma.square().unsqueeze(-1);
  const at::Tensor total = variance_ + p.noise_variance;
  p.gaussian = -1 / total;
  p.scale = (variance_ / (p.noise_variance * total)).sqrt();
  p.relative = options_.scale == OutputScale::kNoise ? at::ones_like(total)
                                                     : (p.noise_variance / variance_).sqrt();
  return p;
}

at::Tensor ScoreModel::residual_scale(const at::Tensor& sigma) const {
  const Preconditioner p = precondition(sigma);
  return (p.scale * p.relative).square().mean(-1);
}

at::Tensor ScoreModel::noise_share(const at::Tensor& sigma) const {
  const at::Tensor noise = sigma.square().unsqueeze(-1);
  return (noise / (variance_ + noise)).square().mean(-1);
}

nets::Features ScoreModel::features(const at::Tensor& x, const at::Tensor& sigma, int order) const {
  return network_->features(scaled_input(x, sigma), 0.25 * sigma.log(), order);
}

at::Tensor ScoreModel::third_features(const at::Tensor& x, const at::Tensor& sigma) const {
  return network_->third_features(scaled_input(x, sigma), 0.25 * sigma.log());
}

at::Tensor ScoreModel::scaled_input(const at::Tensor& x, const at::Tensor& sigma) const {
  return (x - mean_) * (variance_ + sigma.square().unsqueeze(-1)).rsqrt();
}

at::Tensor ScoreModel::first_order(const at::Tensor& features, const at::Tensor& x,
                                   const at::Tensor& sigma) const {
  if (first_) return first_->evaluate(x, sigma, 1).s1;
  const Preconditioner p = precondition(sigma);
  return p.gaussian * (x - mean_) + p.scale * p.relative * network_->first_head(features);
}

linalg::SymmetricOperator ScoreModel::second_order(const at::Tensor& features,
                                                   const at::Tensor& sigma) const {
  using linalg::SymmetricOperator;
  const Preconditioner p = precondition(sigma);
  const nets::HessianOutputs raw = network_->second_head(features);
  const bool psd = options_.parameterisation == Parameterisation::kPsd;
  const at::Tensor relative2 = p.relative.square();

  if (options_.network.s2 == nets::Structure::kFull) {
    const at::Tensor m = relative2.unsqueeze(-1) * raw.factor / root(dim());
    at::Tensor residual = m + m.transpose(1, 2);
    if (psd) {
      residual = (1 - kVarianceFloor) * (residual + at::matmul(m, m.transpose(1, 2)));
    }
    return SymmetricOperator::from_dense(at::diag_embed(p.gaussian) +
                                         p.scale.unsqueeze(-1) * residual * p.scale.unsqueeze(1));
  }
  if (options_.network.s2 == nets::Structure::kDiagonal) {
    const at::Tensor d = relative2 * raw.diagonal;
    if (!psd) return SymmetricOperator::from_diagonal(p.gaussian + p.scale.square() * d);
    return SymmetricOperator::from_diagonal(p.gaussian +
                                            (1 - kVarianceFloor) * p.scale.square() * at::elu(d));
  }
  at::Tensor diagonal;
  if (psd) {
    const at::Tensor v =
        variance_ * at::softplus(raw.diagonal + kSoftplusOne) + kVarianceFloor * p.noise_variance;
    diagonal = -1 / (p.noise_variance + v);
  } else {
    diagonal = p.gaussian + p.scale.square() * relative2 * raw.diagonal;
  }
  if (options_.scale == OutputScale::kData) {
    return SymmetricOperator::from_low_rank(diagonal,
                                            (p.scale * p.relative).unsqueeze(-1) * raw.factor);
  }
  return SymmetricOperator::from_low_rank(diagonal, bounded_factor(raw.factor, p.scale));
}

linalg::SymmetricTensor ScoreModel::third_order(const at::Tensor& features,
                                                const at::Tensor& sigma) const {
  using linalg::SymmetricTensor;
  const Preconditioner p = precondition(sigma);
  const nets::ThirdOutputs raw = network_->third_head(features);
  const at::Tensor unit = p.scale * p.relative;
  if (raw.entries.defined()) {
    const int64_t d = dim();
    const at::Tensor t = raw.entries.index_select(1, third_index_).view({-1, d, d, d});
    const auto along = [&](at::IntArrayRef shape) { return unit.view(shape); };
    return SymmetricTensor::from_dense(t * along({-1, d, 1, 1}) * along({-1, 1, d, 1}) *
                                       along({-1, 1, 1, d}));
  }
  const at::Tensor diagonal = unit.pow(3) * raw.diagonal;
  if (!raw.factor.defined()) return SymmetricTensor::from_diagonal(diagonal);
  const double soft = 0.25 * static_cast<double>(dim());
  const at::Tensor direction = raw.factor * (soft + raw.factor.square().sum(1, true)).rsqrt();
  return SymmetricTensor::from_low_rank(diagonal, root(dim()) * raw.weights,
                                        unit.unsqueeze(-1) * direction);
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
  if (first_ && order == 1) return first_->evaluate(x, levels, 1);
  const nets::Features f = features(x, levels, order);
  score::Jet jet;
  jet.s1 = first_order(f.first, x, levels);
  if (order >= 2) jet.s2 = second_order(f.second, levels);
  if (order >= 3) jet.s3 = third_order(f.third, levels);
  return jet;
}

std::shared_ptr<const score::ScoreField> field_of_size(const ScoreModel& model, int64_t height,
                                                       int64_t width) {
  const nets::NetworkOptions& network = model.options().network;
  if (network.image_shape.empty()) {
    base::fail_argument("models::field_of_size",
                        "pictures need a model of images; got one of vectors of {} numbers",
                        model.dim());
  }
  if (network.image_shape[1] == height && network.image_shape[2] == width) {
    return std::make_shared<ScoreModel>(model);
  }
  const int64_t stride = model.resizable(height, width).stride();
  const int64_t tall = (height + stride - 1) / stride * stride;
  const int64_t wide = (width + stride - 1) / stride * stride;
  return std::make_shared<score::PaddedField>(
      std::make_shared<ScoreModel>(model.resized(tall, wide)),
      std::vector<int64_t>{network.image_shape[0], tall, wide}, height, width);
}

}  // namespace scorejet::models
