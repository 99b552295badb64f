// Every operation of the Gaussian posterior against dense float64 algebra, for all structures.
#include "scorejet/gaussian.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>
#include <functional>
#include <numbers>
#include <string>
#include <vector>

#include "scorejet/autodiff_field.h"
#include "scorejet/gaussian_mixture.h"
#include "scorejet/posterior.h"
#include "src/base/seed.h"

namespace scorejet::posterior {
namespace {

using linalg::SymmetricOperator;

constexpr int64_t kRows = 3, kGaussianDim = 6;

double relative(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

double largest_difference(const at::Tensor& difference) {
  return difference.abs().max().item<double>();
}

// One Gaussian a structure, with rank 1 and rank 3.
std::vector<Gaussian> all_structures(int64_t seed) {
  torch::manual_seed(static_cast<uint64_t>(seed));
  const at::Tensor mean = at::randn({kRows, kGaussianDim}, at::kDouble);
  const at::Tensor d = 0.2 + at::rand({kRows, kGaussianDim}, at::kDouble);
  const at::Tensor factor = at::randn({kRows, kGaussianDim, 3}, at::kDouble);
  const auto low = SymmetricOperator::from_low_rank(d, factor);
  return {Gaussian(mean, SymmetricOperator::from_diagonal(d)),
          Gaussian(mean, SymmetricOperator::from_low_rank(d, factor.narrow(2, 0, 1))),
          Gaussian(mean, low), Gaussian(mean, SymmetricOperator::from_dense(low.dense()))};
}

// log N(x; m, C) from the inverse and determinant, the slow obvious way.
at::Tensor obvious_log_likelihood(const Gaussian& g, const at::Tensor& x) {
  const at::Tensor error = (x - g.mean()).unsqueeze(-1), covariance = g.covariance().dense();
  const at::Tensor distance =
      at::matmul(error.transpose(1, 2), at::matmul(at::linalg_inv(covariance), error)).flatten();
  return -0.5 * (distance + at::logdet(2 * std::numbers::pi * covariance));
}

std::string message(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::domain_error& error) {
    return error.what();
  }
  return "";
}

TEST(Gaussian, EqualsDenseAlgebra) {
  for (const Gaussian& g : all_structures(71)) {
    const at::Tensor x = at::randn({kRows, kGaussianDim}, at::kDouble),
                     covariance = g.covariance().dense();
    EXPECT_LT(relative(g.variance(), covariance.diagonal(0, 1, 2)), 1e-14);
    EXPECT_LT(relative(g.standard_deviation().square(), g.variance()), 1e-14);
    const at::Tensor values = std::get<0>(at::linalg_eigh(covariance));
    const at::Tensor entropy =
        0.5 * (2 * std::numbers::pi * std::numbers::e * values).log().sum(-1);
    EXPECT_LT(relative(g.entropy(), entropy), 1e-12);
    EXPECT_LT(relative(g.log_likelihood(x), obvious_log_likelihood(g, x)), 1e-12);
    const at::Tensor whitened =
        at::linalg_solve(at::linalg_cholesky(covariance), (x - g.mean()).unsqueeze(-1));
    EXPECT_LT(relative(g.mahalanobis_squared(x), whitened.square().sum({1, 2})), 1e-12);
  }
}

TEST(Gaussian, OnePixel) {
  const at::Tensor mean = at::tensor({0.25}, at::kDouble).unsqueeze(0);
  const at::Tensor x = at::tensor({0.65}, at::kDouble).unsqueeze(0);
  const at::Tensor variance = at::tensor({0.04}, at::kDouble).unsqueeze(0);
  for (const auto& op :
       {SymmetricOperator::from_diagonal(variance),
        SymmetricOperator::from_low_rank(0.25 * variance, (0.75 * variance).sqrt().unsqueeze(-1)),
        SymmetricOperator::from_dense(variance.unsqueeze(-1))}) {
    const Gaussian g(mean, op);
    EXPECT_NEAR(g.mahalanobis_squared(x).item<double>(), 4, 1e-12);
    EXPECT_NEAR(g.log_likelihood(x).item<double>(),
                -2 - std::log(0.2) - 0.5 * std::log(2 * std::numbers::pi), 1e-12);
    EXPECT_NEAR(g.entropy().item<double>(), 0.5 + 0.5 * std::log(2 * std::numbers::pi * 0.04),
                1e-12);
    EXPECT_NEAR(g.interval(0.95).upper.item<double>(), 0.25 + 0.2 * 1.959963984540054, 1e-12);
    EXPECT_NEAR(g.interval(0.95).lower.item<double>(), 0.25 - 0.2 * 1.959963984540054, 1e-12);
  }
}

TEST(Gaussian, RegionIsTheMarginal) {
  const at::Tensor indices = at::tensor({4, 0, 3}, at::kLong);
  for (const Gaussian& g : all_structures(72)) {
    const Gaussian region = g.region(indices);
    const at::Tensor block =
        g.covariance().dense().index_select(1, indices).index_select(2, indices);
    EXPECT_EQ(region.covariance().structure(), g.covariance().structure());
    EXPECT_LT(relative(region.covariance().dense(), block), 1e-14);
    EXPECT_TRUE(region.mean().equal(g.mean().index_select(1, indices)));
    const at::Tensor x = at::randn({kRows, 3}, at::kDouble);
    EXPECT_LT(relative(region.log_likelihood(x), obvious_log_likelihood(region, x)), 1e-12);
  }
}

// 6 coordinates as an image of 1 channel, 2 rows, 3 columns, or 2 channels of 3 pixels.
TEST(Gaussian, MasksAndBoxesSelectDenseBlocks) {
  const at::Tensor mask = at::tensor({1, 0, 1}, at::kLong).to(at::kBool);
  for (const Gaussian& g : all_structures(78)) {
    const at::Tensor dense = g.covariance().dense();
    const at::Tensor box = g.region(box_indices({1, 2, 3}, 0, 1, 2, 2)).covariance().dense();
    const at::Tensor masked = g.region(mask_indices(mask, 2)).covariance().dense();
    for (int64_t i = 0; i < 4; ++i) {
      for (int64_t j = 0; j < 4; ++j) {
        constexpr int64_t kBox[] = {1, 2, 4, 5}, kMask[] = {0, 2, 3, 5};
        EXPECT_LT(largest_difference(box.select(1, i).select(1, j) -
                                     dense.select(1, kBox[i]).select(1, kBox[j])),
                  1e-13);
        EXPECT_LT(largest_difference(masked.select(1, i).select(1, j) -
                                     dense.select(1, kMask[i]).select(1, kMask[j])),
                  1e-13);
      }
    }
  }
}

TEST(Gaussian, TemperatureScalesTheCovariance) {
  const at::Tensor rows = at::tensor({0.5, 1.0, 4.0}, at::kDouble);
  for (const Gaussian& g : all_structures(73)) {
    EXPECT_LT(relative(g.scaled(2.5).covariance().dense(), 2.5 * g.covariance().dense()), 1e-14);
    EXPECT_LT(relative(g.scaled(rows).covariance().dense(),
                       rows.view({-1, 1, 1}) * g.covariance().dense()),
              1e-14);
    EXPECT_TRUE(g.scaled(rows).mean().equal(g.mean()));
  }
}

// CRPS = ∫ (Φ((t − m)/sd) − 1{t >= x})² dt, by the midpoint rule on either side of x.
TEST(Gaussian, CrpsEqualsItsIntegral) {
  const at::Tensor mean = at::tensor({0.3, -1.0, 0.0}, at::kDouble).unsqueeze(0);
  const at::Tensor sd = at::tensor({0.5, 2.0, 0.1}, at::kDouble).unsqueeze(0);
  const at::Tensor x = at::tensor({0.1, 3.0, 0.0}, at::kDouble).unsqueeze(0);
  const at::Tensor score = Gaussian(mean, SymmetricOperator::from_diagonal(sd.square())).crps(x);
  for (int64_t i = 0; i < 3; ++i) {
    const double m = mean[0][i].item<double>(), s = sd[0][i].item<double>();
    const double at_x = x[0][i].item<double>();
    constexpr int kSteps = 20000;
    double integral = 0;
    for (double side : {-1.0, 1.0}) {
      const double length = 12 * s + std::abs(at_x - m), step = length / kSteps;
      for (int k = 0; k < kSteps; ++k) {
        const double t = at_x + side * (k + 0.5) * step;
        const double cdf = 0.5 * std::erfc(-(t - m) / (s * std::numbers::sqrt2));
        integral += step * (side < 0 ? cdf * cdf : (1 - cdf) * (1 - cdf));
      }
    }
    EXPECT_NEAR(score[0][i].item<double>(), integral, 1e-7 * integral);  // the rule is good to 5e-8
  }
  const Gaussian certain(mean, SymmetricOperator::from_diagonal(at::zeros({1, 3}, at::kDouble)));
  EXPECT_TRUE(certain.crps(x).equal((x - mean).abs()));
}

// Largest deviation of the draws' covariance from `expected`, in standard errors of a Gaussian's.
double covariance_deviation(const at::Tensor& samples, const at::Tensor& expected) {
  const auto count = static_cast<double>(samples.size(1));
  const at::Tensor centred = samples - samples.mean(1, true);
  const at::Tensor empirical = at::matmul(centred.transpose(1, 2), centred) / (count - 1);
  const at::Tensor variance = expected.diagonal(0, 1, 2);
  const at::Tensor error =
      ((expected.square() + variance.unsqueeze(1) * variance.unsqueeze(2)) / count).sqrt();
  return ((empirical - expected).abs() / error).max().item<double>();
}

TEST(Gaussian, DrawsHaveItsMeanAndCovariance) {
  for (const Gaussian& g : all_structures(74)) {
    const int64_t count = 20000;
    const at::Tensor samples = g.sample(count, 5);
    const at::Tensor covariance = g.covariance().dense();
    const at::Tensor standard_error = (g.variance() / static_cast<double>(count)).sqrt();
    EXPECT_LT(((samples.mean(1) - g.mean()).abs() / standard_error).max().item<double>(), 5);
    EXPECT_LT(covariance_deviation(samples, covariance), 5);
    EXPECT_GT(covariance_deviation(samples, 1.08 * covariance), 5);  // the control must fail
  }
}

TEST(Gaussian, DrawsOfARowDoNotDependOnItsBatch) {
  for (const Gaussian& g : all_structures(75)) {
    const at::Tensor all = g.sample(4, 9);
    const Gaussian last(g.mean().narrow(0, 2, 1), g.covariance().slice(2, 1));
    EXPECT_LT(relative(last.sample(4, 9, /*first_row=*/2), all.narrow(0, 2, 1)), 1e-14);
    EXPECT_EQ(g.sample(0, 9).size(1), 0);
  }
}

// The generators and their order are part of the files that `denoise` writes.
TEST(Gaussian, DrawsComeFromTheNamedStreams) {
  const Gaussian g = all_structures(77)[2];
  const at::Tensor samples = g.sample(4, 9, 3);
  for (int64_t row = 0; row < kRows; ++row) {
    const auto noise = [&](const char* stream, int64_t count) {
      return at::randn({4, count}, base::make_generator(9, stream, static_cast<uint64_t>(3 + row)),
                       at::TensorOptions(at::kDouble));
    };
    const at::Tensor expected =
        g.mean()[row] +
        g.covariance().diagonal_part()[row].sqrt() * noise("posterior diagonal", kGaussianDim) +
        at::matmul(noise("posterior factor", 3), g.covariance().factor()[row].t());
    EXPECT_LT(relative(samples[row], expected), 1e-14);
  }
}

distributions::GaussianMixture make_gaussian_mixture() {
  torch::manual_seed(76);
  const at::Tensor root = at::randn({3, 4, 4}, at::kDouble);
  return {at::tensor({0.2, 0.5, 0.3}, at::kDouble), at::randn({3, 4}, at::kDouble),
          root.matmul(root.transpose(1, 2))};
}

TEST(Gaussian, FromTheJacobianOfAnExactScore) {
  const distributions::GaussianMixture mixture = make_gaussian_mixture();
  const score::AutodiffField autodiff(mixture);
  const at::Tensor x = at::randn({5, 4}, at::kDouble), sigma = at::full({}, 0.7, at::kDouble);
  const Gaussian exact = Gaussian::from_jet(x, sigma, mixture.evaluate(x, sigma, 2));
  const Gaussian differentiated = Gaussian::from_jet(x, sigma, autodiff.evaluate(x, sigma, 2));
  EXPECT_LT(relative(differentiated.covariance().dense(), exact.covariance().dense()), 1e-10);
  EXPECT_LT(relative(differentiated.entropy(), exact.entropy()), 1e-9);
  EXPECT_LT(relative(differentiated.log_likelihood(x), exact.log_likelihood(x)), 1e-9);
}

TEST(Denoise, GivesTheGaussiansNumbers) {
  const distributions::GaussianMixture mixture = make_gaussian_mixture();
  const at::Tensor x = at::randn({5, 4}, at::kDouble), sigma = at::full({}, 0.7, at::kDouble);
  const Gaussian g = Gaussian::from_jet(x, sigma, mixture.evaluate(x, sigma, 2));
  const Posterior result = denoise(
      mixture, x, sigma, {.num_components = 2, .num_samples = 3, .seed = 8, .first_row = 10});
  EXPECT_TRUE(result.mean.equal(g.mean()));
  EXPECT_TRUE(result.variance.equal(g.variance()));
  EXPECT_TRUE(result.samples.equal(g.sample(3, 8, 10)));
  const Posterior bars = denoise(mixture, x, sigma, {});  // of which no covariance is made
  EXPECT_TRUE(bars.mean.equal(g.mean()));
  EXPECT_LT(relative(bars.variance, g.variance()), 1e-14);
}

TEST(Denoise, TemperatureMultipliesTheCovariance) {
  constexpr double kTemperature = 2.7;
  constexpr int64_t kDraws = 20000;
  const distributions::GaussianMixture mixture = make_gaussian_mixture();
  const at::Tensor x = at::randn({5, 4}, at::kDouble), sigma = at::full({}, 0.7, at::kDouble);
  const Gaussian g = Gaussian::from_jet(x, sigma, mixture.evaluate(x, sigma, 2));
  const Posterior plain = denoise(mixture, x, sigma, {.num_components = 3});
  const Posterior scaled =
      denoise(mixture, x, sigma,
              {.num_components = 3, .num_samples = kDraws, .seed = 8, .temperature = kTemperature});
  EXPECT_TRUE(scaled.mean.equal(plain.mean));
  EXPECT_LT(relative(scaled.variance, kTemperature * plain.variance), 1e-14);
  EXPECT_LT(relative(scaled.eigenvalues, kTemperature * plain.eigenvalues), 1e-10);
  EXPECT_LT(relative(scaled.components, plain.components), 1e-8);
  // 50 entries of the draws' covariance, each at 5 standard errors √((cᵢᵢ cⱼⱼ + cᵢⱼ²)/n): a false
  // alarm in 30,000 seeds.
  const at::Tensor offset = scaled.samples - g.mean().unsqueeze(1);
  const at::Tensor drawn = at::matmul(offset.transpose(1, 2), offset) / kDraws;
  const auto worst = [&](const at::Tensor& exact) {
    const at::Tensor variance = exact.diagonal(0, 1, 2);
    const at::Tensor spread = variance.unsqueeze(1) * variance.unsqueeze(2) + exact.square();
    return largest_difference((drawn - exact) / (spread / kDraws).sqrt());
  };
  EXPECT_LT(worst(kTemperature * g.covariance().dense()), 5);
  EXPECT_GT(worst(g.covariance().dense()), 5);  // the control: no temperature
  for (const double bad : {0.0, -1.0, double{NAN}, double{INFINITY}}) {
    EXPECT_NE(message([&] {
                denoise(mixture, x, sigma, {.temperature = bad});
              }).find("[posterior::denoise] temperature must be positive and finite; got"),
              std::string::npos);
  }
}

TEST(Regions, AreTheCoordinatesOfAnImage) {
  // 2 channels, 3 rows, 4 columns.
  EXPECT_TRUE(box_indices({2, 3, 4}, 1, 2, 2, 2)
                  .equal(at::tensor({6, 7, 10, 11, 18, 19, 22, 23}, at::kLong)));
  at::Tensor mask = at::zeros({3, 4}, at::kBool);
  mask[0][1] = true;
  mask[2][3] = true;
  EXPECT_TRUE(mask_indices(mask, 2).equal(at::tensor({1, 11, 13, 23}, at::kLong)));
  EXPECT_THROW(mask_indices(at::zeros({3, 4}, at::kBool)), std::invalid_argument);
  EXPECT_THROW(mask_indices(at::ones({3, 4})), std::invalid_argument);
  EXPECT_THROW(box_indices({2, 3, 4}, 2, 0, 2, 1), std::invalid_argument);
  EXPECT_THROW(box_indices({2, 3, 4}, 0, 0, 0, 1), std::invalid_argument);
  EXPECT_THROW(box_indices({12}, 0, 0, 1, 1), std::invalid_argument);
}

TEST(Gaussian, RefusesBadInput) {
  const at::Tensor mean = at::zeros({2, 3}, at::kDouble);
  const auto unit = SymmetricOperator::from_diagonal(at::ones({2, 3}, at::kDouble));
  const Gaussian g(mean, unit);
  EXPECT_THROW(Gaussian(at::zeros({2, 4}, at::kDouble), unit), std::invalid_argument);
  EXPECT_THROW(Gaussian::from_jet(mean, at::ones({}), {mean}), std::invalid_argument);
  for (double level : {0.0, 1.0, -1.0, double{NAN}})
    EXPECT_THROW(g.interval(level), std::domain_error);
  EXPECT_THROW(g.sample(-1, 0), std::invalid_argument);
  EXPECT_THROW(g.crps(at::zeros({3}, at::kDouble)), std::invalid_argument);
  EXPECT_THROW(g.log_likelihood(at::full({2, 3}, NAN, at::kDouble)), std::domain_error);
  for (double t : {0.0, -1.0, double{NAN}, double{INFINITY}})
    EXPECT_THROW(g.scaled(t), std::domain_error);
  EXPECT_THROW(g.scaled(at::ones({3}, at::kDouble)), std::invalid_argument);
  EXPECT_THROW(g.region(at::tensor({0, 3}, at::kLong)), std::invalid_argument);
  EXPECT_THROW(g.region(at::tensor({-1}, at::kLong)), std::invalid_argument);
  EXPECT_THROW(g.region(at::tensor({1, 1}, at::kLong)), std::invalid_argument);
  EXPECT_THROW(g.region(at::empty({0}, at::kLong)), std::invalid_argument);
  EXPECT_THROW(g.region(at::tensor({1}, at::kInt)), std::invalid_argument);
  at::Tensor broken = at::ones({2, 3}, at::kDouble);
  broken[1][0] = NAN;
  EXPECT_EQ(message([&] { Gaussian(broken, unit); }),
            "[posterior::Gaussian] mean must be finite; got NaN or infinity at row 1");
  EXPECT_EQ(message([&] { Gaussian(mean, SymmetricOperator::from_diagonal(broken)); }),
            "[posterior::Gaussian] covariance must be finite; got NaN or infinity at row 1");
  broken[1][0] = -0.5;
  const Gaussian negative(mean, SymmetricOperator::from_diagonal(broken));
  EXPECT_EQ(
      message([&] { negative.standard_deviation(); }),
      "[posterior::Gaussian::standard_deviation] covariance must have no negative part; got 1 "
      "negative variances, the first at row 1, the least -0.5 (a psd model has none)");
  EXPECT_THROW(negative.interval(0.9), std::domain_error);
  EXPECT_THROW(negative.sample(1, 0), std::domain_error);
  EXPECT_THROW(negative.crps(mean), std::domain_error);
  EXPECT_THROW(negative.entropy(), std::domain_error);
  const Gaussian dense(mean, SymmetricOperator::from_dense(at::diag_embed(broken)));
  EXPECT_THROW(dense.sample(1, 0), std::domain_error);
  EXPECT_THROW(dense.mahalanobis_squared(mean), std::domain_error);
}

}  // namespace
}  // namespace scorejet::posterior
