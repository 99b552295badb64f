// A density to copy: heavy tails in five dimensions, a sum of round Gaussians of several widths.
// Put the copy into src/distributions/, and into catalogue.cc its function and a line with its name
// and dimension: the command samples it and the tests hold it to its definition.
//
// p(x) = Σ_k w_k N(x; 0, v_k I), so that p_sigma has v_k + sigma² in place of v_k. With
// responsibilities ρ_k of x and P_k = 1/(v_k + sigma²), all means over ρ:
//   s1 = −E[P] x,  s2 = −E[P] I + Var[P] x xᵀ,
//   s3 = 3 Var[P] sym(I ⊗ x) − E[(P − E P)³] x⊗x⊗x.
#include <ATen/ATen.h>

#include <cmath>
#include <memory>
#include <numbers>

#include "scorejet/distribution.h"

namespace scorejet::distributions {
namespace {

class HeavyTails : public Distribution {
 public:
  int64_t dim() const override { return kDimensions; }

  at::Tensor log_density(const at::Tensor& x, const at::Tensor& sigma) const override {
    constexpr const char* kWhere = "distributions::HeavyTails::log_density";
    check(kWhere, x);
    const at::Tensor points = x.to(at::kDouble);
    const at::Tensor terms = log_terms(points, score::broadcast_sigma(kWhere, points, sigma, true));
    return at::logsumexp(terms, 1).to(x.scalar_type());
  }

  using ScoreField::evaluate;
  score::Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const override {
    constexpr const char* kWhere = "distributions::HeavyTails::evaluate";
    check(kWhere, x, order);
    const at::Tensor points = x.to(at::kDouble);
    const at::Tensor level = score::broadcast_sigma(kWhere, points, sigma, true);
    const at::Tensor rho = at::softmax(log_terms(points, level), 1);
    const at::Tensor precision = 1 / total_variance(level);
    const at::Tensor mean = (rho * precision).sum(1, true),
                     apart = precision - mean;  // [B, 1 or K]
    score::Jet jet{(-mean * points).to(x.scalar_type())};
    if (order < 2) return jet;
    const at::Tensor spread = (rho * apart.square()).sum(1, true);
    jet.s2 = linalg::SymmetricOperator::from_low_rank(
        (-mean).expand_as(points).to(x.scalar_type()),
        (spread.sqrt() * points).unsqueeze(2).to(x.scalar_type()));
    if (order < 3) return jet;
    const at::Tensor skew = (rho * apart.pow(3)).sum(1).view({-1, 1, 1, 1});
    const at::Tensor along =  // I ⊗ x
        at::einsum("ij,bk->bijk", {at::eye(kDimensions, points.options()), points});
    const at::Tensor cube = at::einsum("bi,bj,bk->bijk", {points, points, points});
    const at::Tensor third =
        spread.view({-1, 1, 1, 1}) * (along + along.transpose(1, 3) + along.transpose(2, 3)) -
        skew * cube;
    jet.s3 = linalg::SymmetricTensor::from_dense(third.to(x.scalar_type()));
    return jet;
  }

  at::Tensor sample(int64_t count, at::Generator generator) const override {
    if (count == 0) return at::empty({0, kDimensions}, at::kDouble);
    const at::Tensor which = at::multinomial(weights(), count, true, generator);
    const at::Tensor width = variances().sqrt().index_select(0, which).unsqueeze(1);
    return width * at::randn({count, kDimensions}, generator, at::TensorOptions(at::kDouble));
  }

 private:
  static constexpr int64_t kDimensions = 5;
  static at::Tensor weights() { return at::tensor({0.6, 0.3, 0.1}, at::kDouble); }
  static at::Tensor variances() { return at::tensor({0.5, 2.0, 8.0}, at::kDouble); }
  static at::Tensor total_variance(const at::Tensor& sigma) {  // [B, K]
    return variances() + sigma.square().unsqueeze(1);
  }
  // log of the terms of the sum, [B, K].
  static at::Tensor log_terms(const at::Tensor& x, const at::Tensor& sigma) {
    const at::Tensor variance = total_variance(sigma), square = x.square().sum(1, true);
    return weights().log() - 0.5 * square / variance -
           0.5 * static_cast<double>(kDimensions) * (2 * std::numbers::pi * variance).log();
  }
};

}  // namespace

std::unique_ptr<Distribution> heavy_tails() { return std::make_unique<HeavyTails>(); }

}  // namespace scorejet::distributions
