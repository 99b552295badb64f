// Components from products with the Jacobian against eigh of the exact covariance.
#include "scorejet/components.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

#include "scorejet/autodiff_field.h"
#include "scorejet/gaussian.h"
#include "scorejet/gaussian_mixture.h"
#include "tests/models/small_model.h"

namespace scorejet::posterior {
namespace {

// Only the first order of another field.
class FirstOrder : public score::ScoreField {
 public:
  explicit FirstOrder(const score::ScoreField& field) : field_(field) {}
  int64_t dim() const override { return field_.dim(); }
  int max_order() const override { return 1; }
  score::Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int) const override {
    return field_.evaluate(x, sigma, 1);
  }

 private:
  const score::ScoreField& field_;
};

distributions::GaussianMixture make_mixture(int64_t dim) {
  torch::manual_seed(91);
  const at::Tensor root = at::randn({3, dim, dim}, at::kDouble) / std::sqrt(dim);
  return {at::tensor({0.2, 0.5, 0.3}, at::kDouble), 0.3 * at::randn({3, dim}, at::kDouble),
          root.matmul(root.transpose(1, 2))};
}

double largest(const at::Tensor& difference) { return difference.abs().max().item<double>(); }

TEST(Components, OfAFirstOrderFieldEqualEighOfTheExactCovariance) {
  const distributions::GaussianMixture mixture = make_mixture(50);
  const FirstOrder first(mixture);
  const at::Tensor x = at::randn({4, 50}, at::kDouble);
  const at::Tensor sigma = at::tensor({0.3, 0.5, 1.0, 2.0}, at::kDouble);
  const Gaussian posterior = Gaussian::from_jet(x, sigma, mixture.evaluate(x, sigma, 2));
  const at::Tensor covariance = posterior.covariance().dense();
  const auto [values, vectors] = at::linalg_eigh(covariance);
  at::NoGradGuard no_grad;
  const Components found =
      top_components(first, x, sigma, {.count = 4, .tolerance = 1e-10, .max_iterations = 200});
  EXPECT_TRUE(found.converged);
  EXPECT_LT(largest(found.values - values.narrow(1, 46, 4).flip({1})), 1e-9);
  const at::Tensor overlap =
      at::matmul(found.vectors, vectors.narrow(2, 46, 4).flip({2})).diagonal(0, 1, 2).abs();
  EXPECT_LT(largest(overlap - 1), 1e-9);
  // With s2, and through the differentiated field: the same, signs included.
  const Components direct = top_components(mixture, x, sigma, {.count = 4});
  EXPECT_LT(largest(found.vectors - direct.vectors), 1e-7);
  EXPECT_EQ(direct.evaluations, 1);
  const Components ignored = top_components(
      mixture, x, sigma, {.count = 4, .tolerance = 1e-10, .max_iterations = 200, .direct = false});
  EXPECT_TRUE(ignored.values.equal(found.values));
  EXPECT_EQ(ignored.evaluations, found.evaluations);
}

TEST(Components, OfARegionAreThoseOfItsBlock) {
  const distributions::GaussianMixture mixture = make_mixture(80);
  const FirstOrder first(mixture);
  const at::Tensor x = at::randn({2, 80}, at::kDouble), sigma = at::full({}, 0.6, at::kDouble);
  const at::Tensor indices = at::randperm(80, at::kLong).narrow(0, 0, 45);
  const Gaussian region =
      Gaussian::from_jet(x, sigma, mixture.evaluate(x, sigma, 2)).region(indices);
  const at::Tensor exact =
      std::get<0>(at::linalg_eigh(region.covariance().dense())).narrow(1, 42, 3).flip({1});
  const Components direct = top_components(mixture, x, sigma, {.indices = indices});
  const Components found = top_components(first, x, sigma, {.indices = indices, .tolerance = 1e-9});
  EXPECT_EQ(found.vectors.size(2), 45);
  EXPECT_LT(largest(direct.values - exact), 1e-9);
  EXPECT_LT(largest(found.values - exact), 1e-9);
  EXPECT_LT(largest(found.vectors - direct.vectors), 1e-6);
}

TEST(Components, OfOnePixelAreItsVariance) {
  const distributions::GaussianMixture mixture = make_mixture(1);
  const at::Tensor x = at::randn({3, 1}, at::kDouble), sigma = at::full({}, 0.6, at::kDouble);
  const at::Tensor variance =
      Gaussian::from_jet(x, sigma, mixture.evaluate(x, sigma, 2)).variance();
  for (bool direct : {true, false}) {
    const Components found = top_components(mixture, x, sigma, {.count = 1, .direct = direct});
    EXPECT_TRUE(found.converged);
    EXPECT_LT(largest(found.values - variance), 1e-12) << direct;
    EXPECT_LT(largest(found.vectors.abs() - 1), 1e-12) << direct;
  }
}

// Pieces of the batch and passes of a few vectors change the memory, not the answer. (Rounding may
// end one an iteration sooner; vectors then differ by the tolerance over the gap of eigenvalues.)
TEST(Components, DoNotDependOnHowManyPointsAreTraced) {
  const distributions::GaussianMixture mixture = make_mixture(40);
  const FirstOrder first(mixture);
  const at::Tensor x = at::randn({5, 40}, at::kDouble), sigma = at::full({}, 0.6, at::kDouble);
  const Components all = top_components(first, x, sigma, {.tolerance = 1e-10});
  EXPECT_TRUE(all.converged);
  for (int64_t points : {1, 3, 11}) {
    const Components pieces =
        top_components(first, x, sigma, {.tolerance = 1e-10, .max_points = points});
    EXPECT_LT(largest(pieces.vectors - all.vectors), 1e-7) << points;
    EXPECT_LT(largest(pieces.values - all.values), 1e-9) << points;
  }
}

// The Jacobian of a network is not symmetric: components are those of its symmetric part.
TEST(Components, OfANetworkAreThoseOfTheSymmetricPart) {
  torch::manual_seed(92);
  for (const char* kind : {"mlp", "unet"}) {
    models::ScoreModelOptions options = testing::small_options(kind, 8);
    options.network.mlp.width = 32;
    const models::ScoreModel model = testing::perturbed_model(options, 0.1);
    at::NoGradGuard no_grad;
    const at::Tensor x = at::randn({2, 64}), sigma = at::full({}, 0.5);
    const score::Jet jet = score::AutodiffField(model).evaluate(x, sigma, 2);
    const at::Tensor covariance = Gaussian::from_jet(x, sigma, jet).covariance().dense();
    const at::Tensor exact =
        std::get<0>(at::linalg_eigh(covariance.to(at::kDouble))).narrow(1, 61, 3).flip({1});
    const Components found = top_components(model, x, sigma, {.direct = false});
    EXPECT_TRUE(found.converged) << kind << " " << found.residual;
    EXPECT_EQ(found.values.scalar_type(), at::kFloat);
    EXPECT_LT(largest(found.values / exact - 1), 1e-4) << kind;
  }
}

// Differences know J to a few digits: 1e-3 of the largest variance in float32, 1e-5 in float64.
TEST(Components, WithoutABackwardPassAreTheSameToAFewDigits) {
  const distributions::GaussianMixture mixture = make_mixture(50);
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const double tolerance = type == at::kFloat ? 1e-3 : 1e-5;
    const at::Tensor x = at::randn({3, 50}, type), sigma = at::full({}, 0.5, type);
    const Components exact = top_components(mixture, x, sigma, {.count = 4});
    int64_t with_graph = 0;
    class Blind : public score::ScoreField {
     public:
      Blind(const score::ScoreField& field, int64_t& count) : field_(field), count_(count) {}
      int64_t dim() const override { return field_.dim(); }
      int max_order() const override { return 1; }
      score::Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int) const override {
        count_ += x.requires_grad();
        return {field_.evaluate(x.detach(), sigma, 1).s1.detach()};
      }

     private:
      const score::ScoreField& field_;
      int64_t& count_;
    } blind(mixture, with_graph);
    const Components found = top_components(
        blind, x, sigma, {.count = 4, .tolerance = 10 * tolerance, .forward_only = true});
    EXPECT_TRUE(found.converged);
    EXPECT_EQ(with_graph, 0);
    EXPECT_GT(found.difference_error, 0);
    EXPECT_LT(found.difference_error, 20 * tolerance);
    const double scale = exact.values.max().item<double>();
    EXPECT_LT(largest(found.values - exact.values), 20 * tolerance * scale);
    EXPECT_THROW(top_components(blind, x, sigma, {.count = 4}), std::invalid_argument);
  }
}

TEST(Components, RefuseBadInput) {
  const distributions::GaussianMixture mixture = make_mixture(4);
  const at::Tensor x = at::zeros({2, 4}, at::kDouble), sigma = at::ones({}, at::kDouble);
  EXPECT_THROW(top_components(mixture, at::zeros({2, 5}, at::kDouble), sigma),
               std::invalid_argument);
  EXPECT_THROW(top_components(mixture, x, at::ones({3}, at::kDouble)), std::invalid_argument);
  EXPECT_THROW(top_components(mixture, x, 0 * sigma), std::domain_error);
  EXPECT_THROW(top_components(mixture, NAN * x, sigma), std::domain_error);
  EXPECT_THROW(top_components(mixture, x, sigma, {.count = 0}), std::invalid_argument);
  EXPECT_THROW(top_components(mixture, x, sigma, {.count = 5}), std::invalid_argument);
  EXPECT_THROW(
      top_components(mixture, x, sigma, {.count = 3, .indices = at::tensor({0, 1}, at::kLong)}),
      std::invalid_argument);
  EXPECT_THROW(
      top_components(mixture, x, sigma, {.count = 1, .indices = at::tensor({4}, at::kLong)}),
      std::invalid_argument);
  EXPECT_THROW(top_components(mixture, x, sigma, {.max_points = 0}), std::invalid_argument);
  EXPECT_THROW(top_components(mixture, x, sigma, {.tolerance = 0}), std::domain_error);
  const Components none = top_components(mixture, x.narrow(0, 0, 0), sigma);
  EXPECT_EQ(none.vectors.size(0), 0);
}

}  // namespace
}  // namespace scorejet::posterior
