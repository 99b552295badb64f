#include "src/training/loss_terms.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <vector>

#include "scorejet/autodiff_field.h"
#include "src/objectives/denoising.h"
#include "src/objectives/sketch.h"
#include "src/objectives/third_order.h"

namespace scorejet::training {
namespace {

using linalg::SymmetricOperator;
using models::ScoreModel;

// Control variates look at the clean x; the sketch has none.
Evaluations::Points choose_points(const objectives::LossOptions& options, int order) {
  using Points = Evaluations::Points;
  if (!options.variance_reduction) return Points::kPlus;
  const bool clean = order >= 2 && options.form != objectives::Form::kSketch;
  return clean ? Points::kPairAndClean : Points::kPair;
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

}  // namespace

bool reduces_variance(const ScoreModel& model, const objectives::LossOptions& options,
                      double sigma) {
  const int order = model.max_order();
  const bool looks_at_clean =
      order >= 3 || (order >= 2 && options.form != objectives::Form::kSketch);
  if (!options.variance_reduction || !looks_at_clean) return options.variance_reduction;
  const at::Tensor level = at::full({1}, sigma, model.data_variance().options());
  return objectives::variate_coefficient(model.noise_share(level)).item<double>() > 0;
}

LossTerms::LossTerms(const ScoreModel& model, const objectives::LossOptions& options,
                     const NoisyBatch& batch)
    : model_(model),
      options_(options),
      batch_(batch),
      points_(batch, choose_points(options, model.max_order())),
      scale_(model.residual_scale(batch.sigma)) {
  const int order = std::min(model.max_order(), 2);
  const bool recording = at::GradMode::is_enabled(), learned = model.learns_first();
  const bool looking = order >= 2 && options.uses_jacobian();
  if (looking && learned && recording) points_.x.requires_grad_();
  features_ = model.features(points_.x, points_.sigma, order);
  const auto leaf_of = [&](const at::Tensor& features, bool differentiated) {
    return recording ? features.detach().requires_grad_(differentiated) : features;
  };
  first_leaf_ = leaf_of(features_.first, learned);
  {
    at::AutoGradMode enabled(learned && recording);
    s1_ = model.first_order(first_leaf_, points_.x, points_.sigma);
  }
  if (order >= 2) {
    second_leaf_ = leaf_of(features_.second, true);
    s2_ = model.second_order(second_leaf_, points_.sigma);
  }
  if (looking) multiply_jacobian();
  points_.x = points_.x.detach();
  if (!recording) {
    features_ = {};
    first_leaf_ = second_leaf_ = at::Tensor();
  }
}

// Vectors all from the noise of other samples, so that they are independent of the point. The
// sketch's are an isotropic one, and with a factor one in its span.
JacobianProducts LossTerms::choose_vectors() const {
  const SymmetricOperator noisy = points_.noisy(*s2_);
  const auto other = [&](int64_t i) { return points_.repeated(batch_.z.roll(i, 0)); };
  const auto within = [&](int64_t first, int64_t count, double evenness) {
    std::vector<at::Tensor> w;
    for (int64_t i = first; i < first + count; ++i)
      w.push_back(other(i).narrow(1, 0, noisy.rank()));
    return objectives::leading_vectors(noisy, at::stack(w, 1), evenness);
  };
  std::vector<at::Tensor> parts;
  JacobianProducts products;
  if (options_.form == objectives::Form::kSketch) {
    parts.push_back(other(1).unsqueeze(1));
    if (noisy.structure() == linalg::Structure::kLowRank) {
      parts.push_back(within(2, 1, objectives::kSketchEvenness));
    }
    products.num_sketch = static_cast<int64_t>(parts.size());
  }
  if (options_.leading > 0) {
    parts.push_back(within(1, objectives::kLeadingVectors, objectives::kLeadingEvenness));
  }
  products.v = at::cat(parts, 1);
  return products;
}

// Through the graph of s1 where there is one, from the leaf that stands for the features; a given
// s1 and one without a graph are traced anew.
void LossTerms::multiply_jacobian() {
  products_ = choose_vectors();
  if (!s1_.requires_grad()) {
    products_.jv =
        score::TracedJacobian(model_, points_.noisy(points_.x), points_.noisy(points_.sigma))
            .apply_transposed(products_.v);
    return;
  }
  const at::Tensor noisy = points_.noisy(s1_), &x = points_.x;
  std::vector<at::Tensor> columns;
  for (int64_t i = 0; i < products_.v.size(1); ++i) {
    const auto pulled =
        torch::autograd::grad({noisy}, {first_leaf_, x}, {products_.v.select(1, i)}, true);
    columns.push_back(pulled[1] +
                      torch::autograd::grad({features_.first}, {x}, {pulled[0]}, true)[0]);
  }
  products_.jv = points_.noisy(at::stack(columns, 1));
}

at::Tensor LossTerms::first() const {
  at::Tensor loss = points_.has_pair()
                        ? objectives::score_loss_antithetic(points_.plus(s1_), points_.minus(s1_),
                                                            batch_.z, batch_.sigma)
                        : objectives::score_loss(s1_, batch_.z, batch_.sigma);
  if (options_.sigma_power != 0) {
    loss = loss * (options_.sigma_reference / batch_.sigma).pow(options_.sigma_power);
  }
  return (loss / scale_).mean();
}

at::Tensor LossTerms::second() const {
  const at::Tensor s1 = s1_.detach();
  at::Tensor loss;
  if (options_.form == objectives::Form::kSketch) {
    loss = points_.mean_of_copies(sketch_term());
  } else if (points_.has_clean()) {
    loss = objectives::hessian_loss_antithetic(
        options_.form, s1, *s2_, batch_.z, batch_.sigma,
        objectives::variate_coefficient(points_.clean(*s2_), batch_.sigma));
  } else {
    loss = objectives::hessian_loss(options_.form, s1, *s2_, batch_.z, batch_.sigma);
  }
  if (options_.leading > 0) {
    loss = loss + options_.leading * points_.mean_of_copies(leading_term());
  }
  loss = loss / scale_.square();
  if (options_.variance_power != 0) {
    loss = loss * relative_weights(*s2_, batch_.sigma, scale_, options_.variance_power);
  }
  for (const objectives::Term& term : objectives::terms()) {
    const double weight = options_.terms[term.name];
    if (weight > 0) loss = loss + weight * over_pair(term, s1).to(loss.dtype());
  }
  return loss.mean();
}

// Per noisy point. The vector in the span moves the factor alone: it would have the diagonal right
// along a few directions instead of everywhere.
at::Tensor LossTerms::sketch_term() const {
  const SymmetricOperator s2 = points_.noisy(*s2_);
  const auto loss = [&](const SymmetricOperator& of, int64_t i) {
    return objectives::sketch_loss(of, products_.v.select(1, i), products_.jv.select(1, i));
  };
  if (products_.num_sketch == 1) return loss(s2, 0);
  const auto held = SymmetricOperator::from_low_rank(s2.diagonal_part().detach(), s2.factor());
  return loss(s2, 0) + objectives::kSketchWeight * loss(held, 1);
}

// Leading directions of the Jacobian, per noisy point.
at::Tensor LossTerms::leading_term() const {
  const int64_t first = products_.num_sketch, count = products_.v.size(1) - first;
  const at::Tensor v = products_.v.narrow(1, first, count);
  const at::Tensor jv = products_.jv.narrow(1, first, count);
  const SymmetricOperator s2 = points_.noisy(*s2_);
  const at::Tensor sigma = points_.repeated(batch_.sigma);
  return objectives::leading_loss(s2, v, jv, sigma) +
         objectives::kSpanWeight * objectives::span_loss(s2, v, jv, sigma);
}

// Per sample: over the antithetic pair when there is one.
at::Tensor LossTerms::over_pair(const objectives::Term& term, const at::Tensor& s1) const {
  const at::Tensor plus = term.loss(points_.plus(s1), points_.plus(*s2_), batch_.z, batch_.sigma);
  if (!points_.has_pair()) return plus;
  return 0.5 * (plus + term.loss(points_.minus(s1), points_.minus(*s2_), -batch_.z, batch_.sigma));
}

at::Tensor LossTerms::third() const {
  const at::Tensor s1 = s1_.detach();
  const SymmetricOperator s2 = s2_->detach();
  const at::Tensor loss = points_.has_pair() ? third_antithetic(s1, s2) : third_plain(s1, s2);
  return (loss / scale_.pow(3)).mean();
}

linalg::SymmetricTensor LossTerms::third_order(const at::Tensor& x, const at::Tensor& sigma) const {
  return model_.third_order(model_.third_features(x, sigma), sigma);
}

at::Tensor LossTerms::third_plain(const at::Tensor& s1, const SymmetricOperator& s2) const {
  return objectives::third_order_loss({s1, s2, third_order(points_.x, points_.sigma)}, batch_.z,
                                      batch_.sigma);
}

at::Tensor LossTerms::third_antithetic(const at::Tensor& s1, const SymmetricOperator& s2) const {
  const auto pair = third_order(points_.noisy(points_.x), points_.noisy(points_.sigma));
  const score::Jet held = clean_jet(s1, s2);
  // d/dt ⟨s3(x + t z), H⟩ at t = 0, itself differentiable in the parameters when training.
  const bool training = at::GradMode::is_enabled();
  at::AutoGradMode enabled(true);
  const at::Tensor x = batch_.x.detach().requires_grad_();
  const objectives::ThirdOrderPoint clean{held.s1, *held.s2, third_order(x, batch_.sigma)};
  const at::Tensor phi = objectives::hermite_product(clean.s3, clean.s2, batch_.z, batch_.sigma);
  const at::Tensor gradient = torch::autograd::grad({phi.sum()}, {x}, {}, true, training)[0];
  return objectives::third_order_loss_antithetic(
      {points_.plus(s1), points_.plus(s2), points_.plus(pair)},
      {points_.minus(s1), points_.minus(s2), points_.minus(pair)}, clean,
      (gradient * batch_.z).sum(-1), batch_.z, batch_.sigma,
      objectives::variate_coefficient(clean.s2, batch_.sigma));
}

// s1 and s2 at the clean x: among those at the points, or (sketch form) not there yet.
score::Jet LossTerms::clean_jet(const at::Tensor& s1, const SymmetricOperator& s2) const {
  if (points_.has_clean()) return {points_.clean(s1), points_.clean(s2)};
  at::NoGradGuard no_grad;
  return model_.evaluate(batch_.x, batch_.sigma, 2);
}

}  // namespace scorejet::training
