// Differentiating an exact first-order score gives the exact second-order one.
#include "scorejet/autodiff_field.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "scorejet/gaussian_mixture.h"
#include "tests/models/small_model.h"

namespace scorejet::score {
namespace {

// A field that is not a gradient: its Jacobian is not symmetric, as a network's is not.
class Rotation : public ScoreField {
 public:
  explicit Rotation(at::Tensor matrix) : matrix_(std::move(matrix)) {}
  int64_t dim() const override { return matrix_.size(0); }
  int max_order() const override { return 1; }
  Jet evaluate(const at::Tensor& x, const at::Tensor&, int) const override {
    return {x.matmul(matrix_.t()) + x.pow(3)};
  }

 private:
  at::Tensor matrix_;
};

TEST(AutodiffField, EqualsExactSecondOrderOfMixture) {
  torch::manual_seed(51);
  const at::Tensor root = at::randn({3, 4, 4}, at::kDouble);
  const distributions::GaussianMixture mixture(at::tensor({0.2, 0.5, 0.3}, at::kDouble),
                                               at::randn({3, 4}, at::kDouble),
                                               root.matmul(root.transpose(1, 2)));
  const AutodiffField autodiff(mixture);
  const at::Tensor x = at::randn({6, 4}, at::kDouble), v = at::randn({6, 4}, at::kDouble);
  torch::NoGradGuard no_grad;  // a caller without autograd gets the same
  for (double sigma : {0.05, 1.0}) {
    const Jet exact = mixture.evaluate(x, sigma, 2), jet = autodiff.evaluate(x, sigma, 2);
    const double scale = exact.s2->dense().abs().max().item<double>();
    EXPECT_TRUE(jet.s1.equal(exact.s1));
    EXPECT_LT((jet.s2->dense() - exact.s2->dense()).abs().max().item<double>(), 1e-10 * scale);
    const at::Tensor product =
        jacobian_vector_product(mixture, x, at::full({}, sigma, at::kDouble), v);
    EXPECT_LT((product - exact.s2->apply(v)).abs().max().item<double>(), 1e-9 * scale);
    EXPECT_FALSE(product.requires_grad());
  }
}

TEST(AutodiffField, TellsJFromItsTransposeAndTakesTheSymmetricPart) {
  torch::manual_seed(52);
  const at::Tensor matrix = at::randn({3, 3}, at::kDouble);
  const Rotation field(matrix);
  const at::Tensor x = at::randn({5, 3}, at::kDouble), v = at::randn({5, 3}, at::kDouble);
  const at::Tensor jacobian = matrix + at::diag_embed(3 * x.square());
  const at::Tensor sigma = at::ones({}, at::kDouble);
  const auto times = [&](const at::Tensor& j) { return j.matmul(v.unsqueeze(-1)).squeeze(-1); };
  EXPECT_TRUE(jacobian_vector_product(field, x, sigma, v).allclose(times(jacobian)));
  EXPECT_TRUE(
      jacobian_vector_product(field, x, sigma, v, true).allclose(times(jacobian.transpose(1, 2))));
  EXPECT_TRUE(AutodiffField(field)
                  .evaluate(x, sigma, 2)
                  .s2->dense()
                  .allclose(0.5 * (jacobian + jacobian.transpose(1, 2))));
}

TEST(TracedJacobian, TakesAnyNumberOfVectors) {
  torch::manual_seed(56);
  const at::Tensor matrix = at::randn({3, 3}, at::kDouble);
  const Rotation field(matrix);
  const at::Tensor x = at::randn({4, 3}, at::kDouble), sigma = at::ones({}, at::kDouble);
  const at::Tensor jacobian = matrix + at::diag_embed(3 * x.square());
  for (int64_t copies : {1, 2, 5}) {
    const TracedJacobian traced(field, x, sigma, copies);
    for (int64_t count : {1, 2, 5}) {
      const at::Tensor v = at::randn({4, count, 3}, at::kDouble);
      EXPECT_TRUE(traced.apply(v).allclose(v.matmul(jacobian.transpose(1, 2))));
      EXPECT_TRUE(traced.apply_transposed(v).allclose(v.matmul(jacobian)));
    }
  }
  EXPECT_THROW(TracedJacobian(field, x, sigma, 0), std::invalid_argument);
  EXPECT_THROW(TracedJacobian(field, x, sigma).apply(x), std::invalid_argument);
}

TEST(TracedJacobian, SaysWhereTheSecondDerivativeIsMissing) {
  struct Once : ScoreField {
    int64_t dim() const override { return 3; }
    int max_order() const override { return 1; }
    Jet evaluate(const at::Tensor& x, const at::Tensor&, int) const override {
      return {x * at::cdist(x.unsqueeze(1), at::ones({x.size(0), 1, 3}, x.options())).squeeze(1)};
    }
  } field;
  const at::Tensor x = at::zeros({2, 3}), v = at::ones({2, 1, 3});
  const TracedJacobian traced(field, x, at::ones({}));
  EXPECT_NO_THROW(traced.apply_transposed(v));
  EXPECT_THROW(traced.apply(v), std::invalid_argument);
}

TEST(AutodiffField, DifferentiatesTheNetworks) {
  torch::manual_seed(53);
  for (const char* kind : {"mlp", "unet"}) {
    const models::ScoreModel model = testing::perturbed_model(testing::small_options(kind), 0.2);
    const at::Tensor x = at::randn({2, 16}), v = at::randn({2, 16}), sigma = at::full({}, 0.5);
    const double step = 1e-2;
    const at::Tensor difference =
        (model.evaluate(x + step * v, sigma, 1).s1 - model.evaluate(x - step * v, sigma, 1).s1) /
        (2 * step);
    const at::Tensor product = jacobian_vector_product(model, x, sigma, v);
    // Central differences in float32: truncation 1e-4, rounding 1e-7/1e-2.
    EXPECT_LT((product - difference).norm().item<double>(), 1e-2 * difference.norm().item<double>())
        << kind;
  }
}

// With a trunk each the higher order reads the lower one's features: its derivative goes through
// them.
TEST(ThirdByAutodiff, DifferentiatesThroughTheLowerOrdersTrunk) {
  torch::manual_seed(55);
  models::ScoreModelOptions options;
  options.network.dim = 3;
  options.network.mlp.width = 16;
  options.network.s2 = nets::Structure::kFull;
  options.network.share_trunk = false;
  const models::ScoreModel model = testing::perturbed_model(options, 0.2);
  torch::NoGradGuard no_grad;
  const at::Tensor x = at::randn({5, 3}), v = at::randn({5, 3});
  const double step = 1e-2;
  const auto along = [&](double t) {  // vᵀ s2(x + t v) v
    return model.evaluate(x + t * v, 0.5, 2).s2->quadratic_form(v);
  };
  const at::Tensor difference = (along(step) - along(-step)) / (2 * step);
  const at::Tensor exact = third_by_autodiff(model, x, at::full({}, 0.5)).cubic_form(v);
  // Central differences in float32: truncation 1e-4, rounding 1e-7/1e-2.
  EXPECT_LT((exact - difference).norm().item<double>(), 1e-2 * difference.norm().item<double>());
}

TEST(ThirdByAutodiff, EqualsExactThirdOrderOfMixture) {
  torch::manual_seed(54);
  const at::Tensor root = at::randn({3, 4, 4}, at::kDouble);
  const distributions::GaussianMixture mixture(
      at::tensor({0.2, 0.5, 0.3}, at::kDouble), at::randn({3, 4}, at::kDouble),
      root.matmul(root.transpose(1, 2)) + 0.1 * at::eye(4, at::kDouble));
  const at::Tensor x = at::randn({300, 4}, at::kDouble);  // more than one chunk
  torch::NoGradGuard no_grad;
  for (double sigma : {0.05, 1.0}) {
    const at::Tensor exact = mixture.evaluate(x, sigma, 3).s3->dense();
    const linalg::SymmetricTensor s3 =
        third_by_autodiff(mixture, x, at::full({}, sigma, at::kDouble));
    EXPECT_FALSE(s3.tensor().requires_grad());
    const double scale = exact.abs().max().item<double>();
    EXPECT_LT((s3.dense() - exact).abs().max().item<double>(), 1e-8 * scale) << sigma;
  }
}

TEST(ThirdByAutodiff, DifferentiatesTheModelsHessian) {
  torch::manual_seed(55);
  models::ScoreModelOptions options;
  options.network.dim = 5;
  options.network.mlp.width = 16;
  options.network.rank = 2;
  const models::ScoreModel model(options, at::zeros({5}), at::ones({5}));
  const at::Tensor x = at::randn({3, 5}), v = at::randn({3, 5}), sigma = at::full({}, 0.5);
  const linalg::SymmetricTensor s3 = third_by_autodiff(model, x, sigma);
  const double step = 1e-2;
  const auto along = [&](double t) {
    return model.evaluate(x + t * v, sigma, 2).s2->quadratic_form(v);
  };
  const at::Tensor difference = (along(step) - along(-step)) / (2 * step);
  // Central differences in float32: truncation 1e-4, rounding 1e-7/1e-2.
  EXPECT_LT((s3.cubic_form(v) - difference).norm().item<double>(),
            1e-2 * difference.norm().item<double>());
}

TEST(AutodiffField, RefusesWhatDoesNotFit) {
  const Rotation field(at::eye(3));
  EXPECT_THROW(AutodiffField(field).evaluate(at::zeros({2, 4}), 1.0, 2), std::invalid_argument);
  EXPECT_THROW(AutodiffField(field).evaluate(at::zeros({2, 3}), 1.0, 3), std::invalid_argument);
  EXPECT_THROW(third_by_autodiff(field, at::zeros({2, 3}), at::ones({})), std::invalid_argument);
  EXPECT_THROW(jacobian_vector_product(field, at::zeros({2, 3}), at::ones({}), at::zeros({3})),
               std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::score
