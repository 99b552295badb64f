#include "scorejet/training/joint_step.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "scorejet/objectives/likelihood.h"
#include "scorejet/objectives/sketch.h"
#include "scorejet/objectives/third_order.h"
#include "scorejet/score/autodiff_field.h"

namespace scorejet::training {
namespace {

using linalg::SymmetricOperator;
using models::ScoreModel;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Control variates look at the clean x; the sketch has none.
Evaluations make_points(const NoisyBatch& batch, const LossOptions& options, int order) {
  using Points = Evaluations::Points;
  if (!options.variance_reduction) return {batch, Points::kPlus};
  const bool clean = order >= 2 && options.form != objectives::Form::kSketch;
  return {batch, clean ? Points::kPairAndClean : Points::kPair};
}

// Weighted per-sample means. s1 and s2 are those at `points`.
at::Tensor first_loss(const Evaluations& points, const at::Tensor& s1, const NoisyBatch& batch,
                      const at::Tensor& scale, const LossOptions& options) {
  at::Tensor loss = points.has_pair() ? objectives::score_loss_antithetic(
                                            points.plus(s1), points.minus(s1), batch.z, batch.sigma)
                                      : objectives::score_loss(s1, batch.z, batch.sigma);
  if (options.sigma_power != 0) {
    loss = loss * (options.sigma_reference / batch.sigma).pow(options.sigma_power);
  }
  return (loss / scale).mean();
}

// Over the antithetic pair when there is one. Of a low rank it moves the diagonal alone: the
// squared losses choose the leading directions, the likelihood what is left beside them. (Left to
// itself it spends the rank on strong correlations of small variance.)
at::Tensor likelihood(const Evaluations& points, const at::Tensor& s1,
                      const SymmetricOperator& whole, const NoisyBatch& batch) {
  const SymmetricOperator s2 =
      whole.structure() == linalg::Structure::kLowRank
          ? SymmetricOperator::from_low_rank(whole.diagonal_part(), whole.factor().detach())
          : whole;
  const at::Tensor plus =
      objectives::likelihood_loss(points.plus(s1), points.plus(s2), batch.z, batch.sigma);
  if (!points.has_pair()) return plus;
  return 0.5 * (plus + objectives::likelihood_loss(points.minus(s1), points.minus(s2), -batch.z,
                                                   batch.sigma));
}

// Vectors at each noisy point, and Jᵀ times them, [B, m, D]: first those of the sketch form, then
// those of the leading directions.
struct Products {
  at::Tensor v, jv;
  int64_t num_sketch = 0;
};

bool needs_products(const LossOptions& options) {
  return options.form == objectives::Form::kSketch || options.leading > 0;
}

// All from the noise of other samples, so that they are independent of the point. The sketch's are
// an isotropic one, and with a factor one in its span.
Products choose_vectors(const Evaluations& points, const SymmetricOperator& s2,
                        const NoisyBatch& batch, const LossOptions& options) {
  const SymmetricOperator noisy = points.noisy(s2);
  const auto other = [&](int64_t i) { return points.repeated(batch.z.roll(i, 0)); };
  const auto within = [&](int64_t first, int64_t count, double evenness) {
    std::vector<at::Tensor> w;
    for (int64_t i = first; i < first + count; ++i) w.push_back(other(i).narrow(1, 0, s2.rank()));
    return objectives::leading_vectors(noisy, at::stack(w, 1), evenness);
  };
  std::vector<at::Tensor> parts;
  Products products;
  if (options.form == objectives::Form::kSketch) {
    parts.push_back(other(1).unsqueeze(1));
    if (s2.structure() == linalg::Structure::kLowRank) {
      parts.push_back(within(2, 1, objectives::kSketchEvenness));
    }
    products.num_sketch = static_cast<int64_t>(parts.size());
  }
  if (options.leading > 0) {
    parts.push_back(within(1, objectives::kLeadingVectors, objectives::kLeadingEvenness));
  }
  products.v = at::cat(parts, 1);
  return products;
}

// By tracing s1 anew.
Products trace_products(const ScoreModel& model, const Evaluations& points,
                        const SymmetricOperator& s2, const NoisyBatch& batch,
                        const LossOptions& options) {
  Products products = choose_vectors(points, s2, batch, options);
  products.jv = score::TracedJacobian(model, points.noisy(points.x), points.noisy(points.sigma))
                    .apply_transposed(products.v);
  return products;
}

// Through the graph of s1 that the step has anyway: s1 from `leaf`, which stands for `features`.
Products products_through(const Evaluations& points, const at::Tensor& s1, const at::Tensor& leaf,
                          const at::Tensor& features, const SymmetricOperator& s2,
                          const NoisyBatch& batch, const LossOptions& options) {
  Products products = choose_vectors(points, s2, batch, options);
  const at::Tensor noisy = points.noisy(s1), &x = points.x;
  std::vector<at::Tensor> columns;
  for (int64_t i = 0; i < products.v.size(1); ++i) {
    const auto pulled = torch::autograd::grad({noisy}, {leaf, x}, {products.v.select(1, i)}, true);
    columns.push_back(pulled[1] + torch::autograd::grad({features}, {x}, {pulled[0]}, true)[0]);
  }
  products.jv = points.noisy(at::stack(columns, 1));
  return products;
}

// The vector in the span moves the factor alone: it would have the diagonal right along a few
// directions instead of everywhere.
at::Tensor sketch_loss_of(const Products& products, const SymmetricOperator& s2) {
  const auto loss = [&](const SymmetricOperator& of, int64_t i) {
    return objectives::sketch_loss(of, products.v.select(1, i), products.jv.select(1, i));
  };
  if (products.num_sketch == 1) return loss(s2, 0);
  const auto held = SymmetricOperator::from_low_rank(s2.diagonal_part().detach(), s2.factor());
  return loss(s2, 0) + objectives::kSketchWeight * loss(held, 1);
}

// (tr Cov / what the preconditioner leaves)^(-power) at each point, [B]; shares below 1 % count as
// 1 %. No gradient: of x̃ alone, so that the minimiser stays where it is.
at::Tensor relative_weights(const SymmetricOperator& s2, const at::Tensor& sigma,
                            const at::Tensor& scale, double power) {
  at::NoGradGuard no_grad;
  constexpr double kLeast = 0.01;
  const at::Tensor variance = sigma.square();
  const at::Tensor share = (1 + variance * s2.diagonal().mean(-1)) / (variance * scale);
  return share.clamp_min(kLeast).pow(-power);
}

// Leading directions of the Jacobian, per noisy point.
at::Tensor leading_loss_of(const Evaluations& points, const Products& products,
                           const SymmetricOperator& s2, const NoisyBatch& batch) {
  const int64_t first = products.num_sketch, count = products.v.size(1) - first;
  const at::Tensor v = products.v.narrow(1, first, count);
  const at::Tensor jv = products.jv.narrow(1, first, count);
  const SymmetricOperator noisy = points.noisy(s2);
  const at::Tensor sigma = points.repeated(batch.sigma);
  return objectives::leading_loss(noisy, v, jv, sigma) +
         objectives::kSpanWeight * objectives::span_loss(noisy, v, jv, sigma);
}

// `products`: where needs_products().
at::Tensor second_loss(const Evaluations& points, const at::Tensor& s1, const SymmetricOperator& s2,
                       const Products& products, const NoisyBatch& batch, const at::Tensor& scale,
                       const LossOptions& options) {
  at::Tensor loss;
  if (options.form == objectives::Form::kSketch) {
    loss = points.mean_of_copies(sketch_loss_of(products, points.noisy(s2)));
  } else if (points.has_clean()) {
    loss = objectives::hessian_loss_antithetic(
        options.form, s1, s2, batch.z, batch.sigma,
        objectives::variate_coefficient(points.clean(s2), batch.sigma));
  } else {
    loss = objectives::hessian_loss(options.form, s1, s2, batch.z, batch.sigma);
  }
  if (options.leading > 0) {
    loss = loss +
           options.leading * points.mean_of_copies(leading_loss_of(points, products, s2, batch));
  }
  loss = loss / scale.square();
  if (options.variance_power != 0) {
    loss = loss * relative_weights(s2, batch.sigma, scale, options.variance_power);
  }
  if (options.likelihood > 0) {
    loss = loss + options.likelihood * likelihood(points, s1, s2, batch).to(loss.dtype());
  }
  return loss.mean();
}

// s1 and s2 at the clean x: among those at `points`, or (sketch form) not there yet.
score::Jet clean_jet(const ScoreModel& model, const Evaluations& points, const at::Tensor& s1,
                     const SymmetricOperator& s2, const NoisyBatch& batch) {
  if (points.has_clean()) return {points.clean(s1), points.clean(s2)};
  at::NoGradGuard no_grad;
  return model.evaluate(batch.x, batch.sigma, 2);
}

// Order 3, by features of its own so that its graph is apart from those of the orders below. s1 and
// s2 are those at `points`.
at::Tensor third_loss(const ScoreModel& model, const Evaluations& points, const at::Tensor& s1,
                      const SymmetricOperator& s2, const NoisyBatch& batch,
                      const at::Tensor& scale) {
  const auto third = [&](const at::Tensor& x, const at::Tensor& sigma) {
    return model.third_order(model.third_features(x, sigma), sigma);
  };
  at::Tensor loss;
  if (!points.has_pair()) {
    loss =
        objectives::third_order_loss({s1, s2, third(points.x, points.sigma)}, batch.z, batch.sigma);
  } else {
    const auto pair = third(points.noisy(points.x), points.noisy(points.sigma));
    const score::Jet held = clean_jet(model, points, s1, s2, batch);
    // d/dt ⟨s3(x + t z), H⟩ at t = 0, itself differentiable in the parameters when training.
    const bool training = at::GradMode::is_enabled();
    at::AutoGradMode enabled(true);
    const at::Tensor x = batch.x.detach().requires_grad_();
    const objectives::ThirdOrderPoint clean{held.s1, *held.s2, third(x, batch.sigma)};
    const at::Tensor phi = objectives::hermite_product(clean.s3, clean.s2, batch.z, batch.sigma);
    const at::Tensor gradient = torch::autograd::grad({phi.sum()}, {x}, {}, true, training)[0];
    loss = objectives::third_order_loss_antithetic(
        {points.plus(s1), points.plus(s2), points.plus(pair)},
        {points.minus(s1), points.minus(s2), points.minus(pair)}, clean,
        (gradient * batch.z).sum(-1), batch.z, batch.sigma,
        objectives::variate_coefficient(clean.s2, batch.sigma));
  }
  return (loss / scale.pow(3)).mean();
}

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

bool reduces_variance(const ScoreModel& model, const LossOptions& options, double sigma) {
  const int order = model.max_order();
  const bool looks_at_clean =
      order >= 3 || (order >= 2 && options.form != objectives::Form::kSketch);
  if (!options.variance_reduction || !looks_at_clean) return options.variance_reduction;
  const at::Tensor level = at::full({1}, sigma, model.data_variance().options());
  return objectives::variate_coefficient(model.noise_share(level)).item<double>() > 0;
}

StepLosses evaluate_losses(const ScoreModel& model, const LossOptions& options,
                           const NoisyBatch& batch) {
  at::NoGradGuard no_grad;
  const int order = model.max_order();
  const Evaluations points = make_points(batch, options, order);
  const score::Jet jet = model.evaluate(points.x, points.sigma, std::min(order, 2));
  const at::Tensor scale = model.residual_scale(batch.sigma);
  const auto d = static_cast<double>(model.dim());
  StepLosses losses;
  losses.first = first_loss(points, jet.s1, batch, scale, options).item<double>() / d;
  if (order < 2) {
    losses.second = losses.third = kNaN;
    return losses;
  }
  const Products products =
      needs_products(options) ? trace_products(model, points, *jet.s2, batch, options) : Products{};
  losses.second =
      second_loss(points, jet.s1, *jet.s2, products, batch, scale, options).item<double>() / d;
  losses.third = order < 3
                     ? kNaN
                     : third_loss(model, points, jet.s1, *jet.s2, batch, scale).item<double>() / d;
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
  Evaluations points = make_points(batch, options, order);
  const at::Tensor scale = model.residual_scale(batch.sigma);
  const auto d = static_cast<double>(model.dim());
  const bool looking = order >= 2 && needs_products(options);
  const bool learned = model.learns_first();
  if (looking && learned) points.x.requires_grad_();
  const nets::Network::Features features =
      model.features(points.x, points.sigma, std::min(order, 2));

  PendingLosses losses;
  const at::Tensor first_leaf = features.first.detach().requires_grad_(learned);
  at::Tensor s1;
  {
    at::AutoGradMode enabled(learned);
    s1 = model.first_order(first_leaf, points.x, points.sigma);
  }
  at::Tensor second_leaf;
  std::optional<SymmetricOperator> s2;
  Products products;
  if (order >= 2) {
    second_leaf = features.second.detach().requires_grad_();
    s2 = model.second_order(second_leaf, points.sigma);
  }
  if (looking && learned) {
    products = products_through(points, s1, first_leaf, features.first, *s2, batch, options);
    points.x = points.x.detach();
  } else if (looking) {
    products = trace_products(model, points, *s2, batch, options);
  }
  const at::Tensor loss1 = first_loss(points, s1, batch, scale, options);
  if (learned) torch::autograd::backward({loss1});
  losses.first = loss1.detach() / d;

  const at::Tensor first_gradient = first_leaf.grad();
  if (order < 2) {
    torch::autograd::backward({features.first}, {first_gradient});
    const std::vector<FlatParameters::Range> all{{0, parameters.size()}};
    losses.first_gradient = clip_group(parameters.gradients(), all, clip_norm, clips);
    return losses.stack(device);
  }

  const at::Tensor loss2 =
      options.gamma * second_loss(points, s1.detach(), *s2, products, batch, scale, options);
  if (order < 3) s2.reset();  // so that the factor is gone before its gradient is passed on
  torch::autograd::backward({loss2});
  losses.second = loss2.detach() / (options.gamma * d);

  const at::Tensor second_gradient = second_leaf.grad();
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
    const at::Tensor loss3 =
        options.gamma3 * third_loss(model, points, s1.detach(), s2->detach(), batch, scale);
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
