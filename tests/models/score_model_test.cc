// The parameterisations: positive by construction at every σ, bounded factors, shapes, refusals.
#include "scorejet/score_model.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "src/nets/network.h"
#include "tests/scratch.h"

namespace scorejet::models {
namespace {

using testing::error_of;

ScoreModelOptions small(nets::Structure hessian, Parameterisation parameterisation) {
  ScoreModelOptions options;
  options.network.dim = 6;
  options.network.mlp.width = 16;
  options.network.s2 = hessian;
  options.network.rank = 3;
  options.parameterisation = parameterisation;
  return options;
}

// Weights far from any that training would find.
void scramble(const ScoreModel& model, double scale) {
  torch::NoGradGuard no_grad;
  for (at::Tensor& p : model.network().parameters()) p.normal_(0, scale);
}

TEST(ScoreModel, PsdCovarianceIsPositiveAtEverySigmaAndWeight) {
  torch::manual_seed(3);
  const at::Tensor x = torch::randn({16, 6}) * 3;
  for (nets::Structure hessian :
       {nets::Structure::kDiagonal, nets::Structure::kLowRank, nets::Structure::kFull}) {
    for (double scale : {0.1, 1.0, 3.0}) {
      ScoreModel model(small(hessian, Parameterisation::kPsd), torch::zeros({6}), torch::ones({6}));
      scramble(model, scale);
      for (double sigma : {0.01, 0.1, 1.0, 10.0}) {
        torch::NoGradGuard no_grad;
        const score::Jet jet = model.evaluate(x, sigma, 2);
        const at::Tensor cov = sigma * sigma * torch::eye(6, torch::kDouble) +
                               std::pow(sigma, 4) * jet.s2->dense().to(torch::kDouble);
        // float32 entries of size up to 1/σ² carry an error of about 1e-7 σ² in the covariance.
        const double least = at::linalg_eigvalsh(cov).min().item<double>();
        EXPECT_GT(least, -1e-6 * sigma * sigma) << sigma << " " << scale;
        EXPECT_TRUE(torch::isfinite(jet.s1).all().item<bool>());
      }
    }
  }
}

TEST(ScoreModel, FactorsAreBoundedWhateverTheWeights) {
  torch::manual_seed(4);
  ScoreModel model(small(nets::Structure::kLowRank, Parameterisation::kPsd), torch::zeros({6}),
                   torch::ones({6}));
  scramble(model, 50);
  torch::NoGradGuard no_grad;
  for (double sigma : {0.01, 1.0}) {
    const score::Jet jet = model.evaluate(torch::randn({8, 6}), sigma, 2);
    const double c_out = std::sqrt(sigma * sigma / (sigma * sigma + 1));
    const at::Tensor u = sigma * sigma * jet.s2->factor() / c_out;
    EXPECT_LE(u.abs().max().item<double>(), 4.0 * (1 + 1e-5));
    EXPECT_GT(u.abs().max().item<double>(), 1.0);  // the bound is reached for, not zeroed
  }
}

// In units of the data the scores stay of the data's size as σ → 0; in units of the noise they
// grow.
TEST(ScoreModel, DataScaleStaysBoundedAsTheNoiseVanishes) {
  torch::manual_seed(5);
  const at::Tensor x = torch::randn({8, 6});
  torch::NoGradGuard no_grad;
  for (nets::Structure hessian :
       {nets::Structure::kDiagonal, nets::Structure::kLowRank, nets::Structure::kFull}) {
    for (Parameterisation parameterisation : {Parameterisation::kPsd, Parameterisation::kFree}) {
      const auto sizes = [&](OutputScale scale) {
        torch::manual_seed(6);
        ScoreModelOptions options = small(hessian, parameterisation);
        options.scale = scale;
        ScoreModel model(options, torch::zeros({6}), torch::ones({6}));
        scramble(model, 0.3);
        const score::Jet jet = model.evaluate(x, 1e-3, 2);
        return std::pair(jet.s1.abs().max().item<double>(),
                         jet.s2->dense().abs().max().item<double>());
      };
      const auto [s1, s2] = sizes(OutputScale::kData);
      EXPECT_LT(s1, 100);
      EXPECT_LT(s2, 1000);
      const auto [noisy1, noisy2] = sizes(OutputScale::kNoise);
      EXPECT_GT(noisy1, 100);
      EXPECT_GT(noisy2, 1000);
    }
  }
}

TEST(ScoreModel, OrderOneNeedsNoHessianAndOrderTwoSaysSo) {
  ScoreModel model(small(nets::Structure::kNone, Parameterisation::kPsd), torch::zeros({6}),
                   torch::ones({6}));
  EXPECT_EQ(model.max_order(), 1);
  EXPECT_FALSE(model.evaluate(torch::zeros({2, 6}), 1.0, 1).s2.has_value());
  EXPECT_NE(error_of([&] {
              model.evaluate(torch::zeros({2, 6}), 1.0, 2);
            }).find("order"),
            std::string::npos);
}

TEST(ScoreModel, ThirdOrderHasItsStructureAndStartsAtZero) {
  torch::manual_seed(5);
  const at::Tensor x = torch::randn({8, 6});
  for (nets::Structure third :
       {nets::Structure::kDiagonal, nets::Structure::kLowRank, nets::Structure::kFull}) {
    ScoreModelOptions options = small(nets::Structure::kLowRank, Parameterisation::kPsd);
    options.network.s3 = third;
    options.network.s3_rank = 9;  // above D: a CP form needs no rank below it
    ScoreModel model(options, torch::zeros({6}), torch::full({6}, 4.0));
    EXPECT_EQ(model.max_order(), 3);
    EXPECT_FALSE(model.evaluate(x, 0.5, 2).s3.has_value());
    const score::Jet start = model.evaluate(x, 0.5, 3);
    EXPECT_EQ(start.s3->frobenius_squared().abs().max().item<double>(), 0);
    // Zero is no saddle: the first gradient moves s3.
    (start.s3->cubic_form(x).sum()).backward();
    double moved = 0;
    for (const auto& item : model.network().named_parameters()) {
      if (item.key().rfind("s3", 0) == 0 && item.value().grad().defined())
        moved += item.value().grad().abs().sum().item<double>();
    }
    EXPECT_GT(moved, 1e-3);
    torch::NoGradGuard no_grad;
    scramble(model, 1.0);
    const score::Jet jet = model.evaluate(x, 0.5, 3);
    ASSERT_EQ(jet.s3->structure(),
              third == nets::Structure::kDiagonal  ? linalg::Structure::kDiagonal
              : third == nets::Structure::kLowRank ? linalg::Structure::kLowRank
                                                   : linalg::Structure::kDense);
    EXPECT_EQ(jet.s3->batch(), 8);
    EXPECT_EQ(jet.s3->dim(), 6);
    const at::Tensor dense = jet.s3->dense();
    EXPECT_TRUE(dense.allclose(dense.transpose(1, 2), 1e-4, 1e-4) &&
                dense.allclose(dense.transpose(2, 3), 1e-4, 1e-4));
    if (third != nets::Structure::kLowRank) continue;
    EXPECT_EQ(jet.s3->factor().sizes(), (at::IntArrayRef{8, 6, 9}));
    // Whatever the weights, w stays below the preconditioner's size, here the same everywhere.
    const at::Tensor norms = jet.s3->factor().norm(2, 1);
    const double unit = std::sqrt(4.0 / (0.25 * 4.25));
    EXPECT_LT(norms.max().item<double>(), unit * (1 + 1e-5));
    EXPECT_GT(norms.max().item<double>(), 0.5 * unit);
  }
}

TEST(ScoreModel, RefusesWhatDoesNotFit) {
  ScoreModel model(small(nets::Structure::kLowRank, Parameterisation::kFree), torch::zeros({6}),
                   torch::ones({6}));
  const at::Tensor x = torch::zeros({2, 6});
  EXPECT_NE(error_of([&] { model.evaluate(x, 0.0, 2); }).find("sigma must be positive"),
            std::string::npos);
  EXPECT_NE(error_of([&] { model.evaluate(x, torch::ones({3}), 2); }).find("[3]"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              model.evaluate(torch::zeros({2, 5}), 1.0, 2);
            }).find("[any, 6]"),
            std::string::npos);
  EXPECT_NE(error_of([&] { model.evaluate(x * NAN, 1.0, 2); }).find("row 0"), std::string::npos);
  ScoreModelOptions wide = small(nets::Structure::kLowRank, Parameterisation::kPsd);
  EXPECT_NE(error_of([&] { model.evaluate(x, 1.0, 3); }).find("order must lie between 1 and 2"),
            std::string::npos);
  wide.network.rank = 7;
  EXPECT_NE(error_of([&] { ScoreModel(wide, torch::zeros({6}), torch::ones({6})); }).find("rank"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              ScoreModel(small(nets::Structure::kNone, Parameterisation::kPsd), torch::zeros({6}),
                         torch::zeros({6}));
            }).find("variance"),
            std::string::npos);
}

}  // namespace
}  // namespace scorejet::models
