#include "scorejet/training/joint_step.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <limits>

#include "scorejet/training/loss_terms.h"

namespace scorejet::training {
namespace {

using models::ScoreModel;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// bound/norm where that is below 1; 1 for a norm of 0.
at::Tensor bounding_factor(const at::Tensor& norm, const at::Tensor& bound) {
  return at::where(norm > bound, bound / norm, at::ones_like(norm));
}

// A group of parameters whose gradient is to be clipped: its norm before, and in `clips` its scale.
at::Tensor clip_group(const at::Tensor& flat, const std::vector<FlatParameters::Range>& ranges,
                      const at::Tensor& bound, std::vector<GradientScale>& clips) {
  const at::Tensor norm = range_norm(flat, ranges);
  const at::Tensor factor = bounding_factor(norm, bound);
  for (const auto& range : ranges) clips.emplace_back(range, factor);
  return norm;
}

void apply_clips(const std::vector<GradientScale>& clips, const at::Tensor& flat) {
  for (const auto& [range, factor] : clips) {
    flat.narrow(0, range.begin, range.end - range.begin).mul_(factor);
  }
}

// StepLosses as they come to be known, on the device.
struct PendingLosses {
  at::Tensor first, second, third, first_gradient, second_gradient, third_gradient;

  at::Tensor stack(const at::TensorOptions& options) const {
    const auto known = [&](const at::Tensor& value, double otherwise) {
      return value.defined() ? value.detach().to(at::kDouble)
                             : at::full({}, otherwise, options.dtype(at::kDouble));
    };
    return at::stack({known(first, kNaN), known(second, kNaN), known(third, kNaN),
                      known(first_gradient, kNaN), known(second_gradient, 0),
                      known(third_gradient, 0)});
  }
};

// What the given ranges leave over.
std::vector<FlatParameters::Range> complement(const std::vector<FlatParameters::Range>& ranges,
                                              int64_t size) {
  std::vector<FlatParameters::Range> result;
  int64_t position = 0;
  for (const auto& range : ranges) {
    if (range.begin > position) result.push_back({position, range.begin});
    position = range.end;
  }
  if (position < size) result.push_back({position, size});
  return result;
}

}  // namespace

StepLosses evaluate_losses(const ScoreModel& model, const LossOptions& options,
                           const NoisyBatch& batch) {
  at::NoGradGuard no_grad;
  const int order = model.max_order();
  const auto d = static_cast<double>(model.dim());
  const LossTerms terms(model, options, batch);
  StepLosses losses;
  losses.first = terms.first().item<double>() / d;
  losses.second = order < 2 ? kNaN : terms.second().item<double>() / d;
  losses.third = order < 3 ? kNaN : terms.third().item<double>() / d;
  return losses;
}

at::Tensor compute_gradients(const ScoreModel& model, const LossOptions& options,
                             const NoisyBatch& batch, const FlatParameters& parameters,
                             std::vector<GradientScale>& clips) {
  clips.clear();
  const at::TensorOptions device = at::TensorOptions(batch.x.device());
  const at::Tensor clip_norm = at::full({}, options.clip_norm, device.dtype(at::kDouble));
  parameters.gradients().zero_();
  const int order = model.max_order();
  const auto d = static_cast<double>(model.dim());
  const bool learned = model.learns_first();
  LossTerms terms(model, options, batch);
  const nets::Network::Features& features = terms.features();

  PendingLosses losses;
  const at::Tensor loss1 = terms.first();
  if (learned) torch::autograd::backward({loss1});
  losses.first = loss1.detach() / d;

  const at::Tensor first_gradient = terms.first_leaf().grad();
  if (order < 2) {
    torch::autograd::backward({features.first}, {first_gradient});
    const std::vector<FlatParameters::Range> all{{0, parameters.size()}};
    losses.first_gradient = clip_group(parameters.gradients(), all, clip_norm, clips);
    return losses.stack(device);
  }

  const at::Tensor loss2 = options.gamma * terms.second();
  if (order < 3) terms.forget_second();  // so that it is gone before its gradient is passed on
  torch::autograd::backward({loss2});
  losses.second = loss2.detach() / (options.gamma * d);

  const at::Tensor second_gradient = terms.second_leaf().grad();
  if (!learned) {
    torch::autograd::backward({features.second}, {second_gradient});
  } else if (features.first.is_same(features.second)) {
    const at::Tensor factor =
        bounding_factor(second_gradient.norm(), options.trunk_share * first_gradient.norm());
    torch::autograd::backward({features.first},
                              {at::addcmul(first_gradient, second_gradient, factor)});
  } else {
    // Its own weights only: the lower order's features are read, not shaped.
    torch::autograd::backward({features.second}, {second_gradient}, /*retain_graph=*/true, false,
                              model.network().own_parameters(2));
    torch::autograd::backward({features.first}, {first_gradient});
  }
  // A group for each higher order's own parameters, and one for trunk and head of the first; where
  // that is given the trunk is order 2's own.
  const auto heads = parameters.ranges(model.network().own_parameters(2));
  const auto third = parameters.ranges(model.network().own_parameters(3));
  auto own = heads;
  own.insert(own.end(), third.begin(), third.end());
  const auto shared = complement(own, parameters.size());
  const auto second = learned ? heads : complement(third, parameters.size());
  const at::Tensor gradients = parameters.gradients();
  if (order >= 3) {
    const at::Tensor loss3 = options.gamma3 * terms.third();
    losses.third = loss3.detach() / (options.gamma3 * d);
    if (model.options().network.share_trunk) {
      const at::Tensor below = gradients.clone();
      gradients.zero_();
      torch::autograd::backward({loss3});
      std::vector<GradientScale> share;
      clip_group(gradients, shared, options.trunk_share * range_norm(below, shared), share);
      apply_clips(share, gradients);
      gradients.add_(below);
    } else {
      torch::autograd::backward({loss3}, {}, c10::nullopt, false,
                                model.network().own_parameters(3));
    }
    losses.third_gradient = clip_group(gradients, third, clip_norm, clips);
  }
  if (learned) losses.first_gradient = clip_group(gradients, shared, clip_norm, clips);
  losses.second_gradient = clip_group(gradients, second, clip_norm, clips);
  std::sort(clips.begin(), clips.end(), [](const GradientScale& a, const GradientScale& b) {
    return a.range.begin < b.range.begin;
  });
  return losses.stack(device);
}

StepLosses read_losses(const at::Tensor& values) {
  const at::Tensor host = values.cpu();
  const auto at = host.accessor<double, 1>();
  return {at[0], at[1], at[2], at[3], at[4], at[5]};
}

StepLosses accumulate_gradients(const ScoreModel& model, const LossOptions& options,
                                const NoisyBatch& batch, const FlatParameters& parameters) {
  std::vector<GradientScale> clips;
  const at::Tensor losses = compute_gradients(model, options, batch, parameters, clips);
  apply_clips(clips, parameters.gradients());
  return read_losses(losses);
}

}  // namespace scorejet::training
