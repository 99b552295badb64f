#include "src/training/loss_bounds.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace scorejet::training {
namespace {

constexpr double kMargin = 10, kUntrainedMargin = 100;

// 1/(σ² e²), the larger at the two ends.
double residual_ratio(const models::ScoreModel& model, double sigma, double sigma_max) {
  const at::Tensor levels =
      at::tensor({sigma, std::max(sigma, sigma_max)}, model.data_variance().options());
  return (1 / (levels.square() * model.residual_scale(levels))).max().item<double>();
}

double widened(double bound, double untrained) {
  const double start = std::isfinite(untrained) ? std::abs(untrained) : 0;
  return std::max(kMargin * bound, kUntrainedMargin * start);
}

// The settings that tame an order, the likeliest first.
std::string advice(int order, const objectives::LossOptions& options) {
  if (order == 1) return "lower train.learning_rate or train.clip_norm";
  const std::string rest = fmt::format("lower train.learning_rate, train.clip_norm or loss.{}",
                                       order == 2 ? "gamma" : "gamma3");
  return options.variance_reduction
             ? fmt::format("set loss.variance_reduction = false, or {}", rest)
             : rest;
}

}  // namespace

LossBounds loss_bounds(const models::ScoreModel& model, double sigma, double sigma_max,
                       const StepLosses& untrained) {
  const double q = residual_ratio(model, sigma, sigma_max);
  const double root = std::sqrt(static_cast<double>(model.dim()));
  LossBounds bounds;
  bounds.first = widened(1 + q, untrained.first);
  bounds.second = widened(0.5 * std::pow(q * (1 + root), 2), untrained.second);
  bounds.third = widened(0.5 * std::pow(q, 3) * std::pow(root * (root + 3), 2), untrained.third);
  return bounds;
}

LossBounds held_out_bounds(const models::ScoreModel& model, double sigma,
                           const LossBounds& bounds) {
  const double variance = model.data_variance().mean().item<double>();
  const double wider = 1 + 4 * variance / (sigma * sigma);
  return {bounds.first * wider, bounds.second * wider * wider,
          bounds.third * wider * wider * wider};
}

std::optional<Violation> find_violation(const LossBounds& bounds, const StepLosses& losses,
                                        const models::ScoreModel& model,
                                        const objectives::LossOptions& options) {
  const double values[] = {losses.first, losses.second, losses.third};
  const double limits[] = {bounds.first, bounds.second, bounds.third};
  for (int order = model.learns_first() ? 1 : 2; order <= model.max_order(); ++order) {
    const double value = values[order - 1], limit = limits[order - 1];
    if (std::abs(value) > limit) return Violation{order, value, limit, advice(order, options)};
  }
  return std::nullopt;
}

}  // namespace scorejet::training
