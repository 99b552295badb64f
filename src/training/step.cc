#include "src/training/step.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include <limits>

#include "src/nets/network.h"
#include "src/training/gradient_bounds.h"
#include "src/training/loss_terms.h"

namespace scorejet::training {
namespace {

using models::ScoreModel;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Mean losses per coordinate, on the device; undefined for an order that the model has not.
struct PendingLosses {
  at::Tensor first, second, third;
};

// As StepLosses' entries.
at::Tensor stack_losses(const PendingLosses& losses, const GroupNorms& norms,
                        const at::TensorOptions& options) {
  const auto known = [&](const at::Tensor& value, double otherwise) {
    return value.defined() ? value.detach().to(at::kDouble)
                           : at::full({}, otherwise, options.dtype(at::kDouble));
  };
  return at::stack({known(losses.first, kNaN), known(losses.second, kNaN),
                    known(losses.third, kNaN), known(norms.first, kNaN), known(norms.second, 0),
                    known(norms.third, 0)});
}

// From the leaves of orders 1 and 2, whose gradients are known, through the features.
void pass_to_trunk(const ScoreModel& model, const objectives::LossOptions& options,
                   const LossTerms& terms) {
  const nets::Features& features = terms.features();
  const at::Tensor first = terms.first_leaf().grad(), second = terms.second_leaf().grad();
  if (!model.learns_first()) {
    torch::autograd::backward({features.second}, {second});
  } else if (features.first.is_same(features.second)) {
    torch::autograd::backward({features.first}, {bounded_sum(first, second, options.trunk_share)});
  } else {
    // Its own weights only: the lower order's features are read, not shaped.
    torch::autograd::backward({features.second}, {second}, /*retain_graph=*/true, false,
                              model.network().own_parameters(2));
    torch::autograd::backward({features.first}, {first});
  }
}

void add_third_gradient(const ScoreModel& model, const objectives::LossOptions& options,
                        const at::Tensor& loss, const ParameterGroups& groups,
                        const at::Tensor& gradients) {
  if (!model.options().network.share_trunk) {
    torch::autograd::backward({loss}, {}, {}, false, model.network().own_parameters(3));
    return;
  }
  const at::Tensor below = gradients.clone();
  gradients.zero_();
  torch::autograd::backward({loss});
  add_to_lower(gradients, below, groups.shared, options.trunk_share);
}

// The gradient of all orders, within bounds (1) and (2).
PendingLosses accumulate_losses(const ScoreModel& model, const objectives::LossOptions& options,
                                const NoisyBatch& batch, const ParameterGroups& groups,
                                const at::Tensor& gradients) {
  const int order = model.max_order();
  const auto d = static_cast<double>(model.dim());
  LossTerms terms(model, options, batch);
  PendingLosses losses;

  const at::Tensor loss1 = terms.first();
  if (model.learns_first()) torch::autograd::backward({loss1});
  losses.first = loss1.detach() / d;
  if (order < 2) {
    torch::autograd::backward({terms.features().first}, {terms.first_leaf().grad()});
    return losses;
  }

  const at::Tensor loss2 = options.gamma * terms.second();
  if (order < 3) terms.forget_second();  // so that it is gone before its gradient is passed on
  torch::autograd::backward({loss2});
  losses.second = loss2.detach() / (options.gamma * d);
  pass_to_trunk(model, options, terms);
  if (order < 3) return losses;

  const at::Tensor loss3 = options.gamma3 * terms.third();
  losses.third = loss3.detach() / (options.gamma3 * d);
  add_third_gradient(model, options, loss3, groups, gradients);
  return losses;
}

}  // namespace

StepLosses evaluate_losses(const ScoreModel& model, const objectives::LossOptions& options,
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

at::Tensor compute_gradients(const ScoreModel& model, const objectives::LossOptions& options,
                             const NoisyBatch& batch, const FlatParameters& parameters,
                             std::vector<GradientScale>& clips, const ReduceGradients& reduce) {
  const at::Tensor gradients = parameters.gradients();
  const ParameterGroups groups = group_parameters(model, parameters);
  gradients.zero_();
  const PendingLosses losses = accumulate_losses(model, options, batch, groups, gradients);
  if (reduce) reduce(gradients);
  const GroupNorms norms = clip_groups(groups, gradients, options.clip_norm, clips);
  return stack_losses(losses, norms, batch.x.options());
}

StepLosses read_losses(const at::Tensor& values) {
  const at::Tensor host = values.cpu();
  const auto at = host.accessor<double, 1>();
  return {at[0], at[1], at[2], at[3], at[4], at[5]};
}

}  // namespace scorejet::training
