// Calibration on posteriors that are exact, too narrow or of the wrong shape.
#include "scorejet/calibration.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

#include "scorejet/gaussian_mixture.h"
#include "src/base/noise.h"
#include "src/io/atomic_file.h"
#include "src/linalg/lanczos.h"
#include "tests/scratch.h"

namespace scorejet::posterior {
namespace {

constexpr int64_t kDim = 8, kSamples = 4000, kComponents = 3;
const std::vector<double> kLevels{0.5, 0.8, 0.9, 0.95, 0.99};

// Correlated Gaussian data, whose posterior is exactly Gaussian.
struct Exact {
  Gaussian posterior;
  at::Tensor clean;
};

Exact exact_posteriors(uint64_t seed) {
  torch::manual_seed(seed);
  const at::Tensor root = at::randn({kDim, kDim}, at::kDouble);
  const at::Tensor covariance = at::matmul(root, root.t()) + 0.1 * at::eye(kDim, at::kDouble);
  const distributions::GaussianMixture density(
      at::ones({1}, at::kDouble), at::zeros({1, kDim}, at::kDouble), covariance.unsqueeze(0));
  const at::Tensor lower = at::linalg_cholesky(covariance);
  const at::Tensor clean = at::matmul(at::randn({kSamples, kDim}, at::kDouble), lower.t());
  const at::Tensor sigma = at::full({kSamples}, 0.8, at::kDouble);
  const at::Tensor noisy = base::add_row_noise(clean, 0.8, seed, kCalibrationNoise);
  return {Gaussian::from_jet(noisy, sigma, density.evaluate(noisy, sigma, 2)), clean};
}

// Largest distance of a coverage from its level, in standard errors of so many draws.
double worst_coverage(const std::vector<double>& coverage, double draws) {
  double worst = 0;
  for (size_t i = 0; i < kLevels.size(); ++i) {
    const double error = std::sqrt(kLevels[i] * (1 - kLevels[i]) / draws);
    worst = std::max(worst, std::abs(coverage[i] - kLevels[i]) / error);
  }
  return worst;
}

// The bins' chi-squared, 19 degrees of freedom.
double chi_squared(const std::vector<double>& pit, double draws) {
  double sum = 0;
  for (const double share : pit) sum += draws * kPitBins * std::pow(share - 1.0 / kPitBins, 2);
  return sum;
}

TEST(Calibration, FindsTheExactPosteriorCalibrated) {
  const Exact exact = exact_posteriors(51);
  const Scores scores = score_posterior(exact.posterior, exact.clean, kComponents);
  const std::vector<double> widths = gaussian_widths(kLevels);
  EXPECT_NEAR(widths[3], 1.959964, 1e-6);
  const CalibrationSummary good = summarise(scores, kLevels, widths, widths);
  // Coordinates of one sample are dependent: at worst N independent draws. Components are
  // independent. 5 standard errors: below one false alarm in 10⁵ runs.
  EXPECT_LT(worst_coverage(good.coverage, kSamples), 5);
  EXPECT_LT(worst_coverage(good.component_coverage, kSamples * kComponents), 5);
  EXPECT_LT(chi_squared(good.component_pit, kSamples * kComponents), 60);  // 1e-6
  const double spread = std::sqrt(2.0 / kDim);
  EXPECT_NEAR(good.mahalanobis_mean, 1, 5 * spread / std::sqrt(kSamples));
  EXPECT_NEAR(good.mahalanobis_sd, spread, 0.05 * spread);
  EXPECT_NEAR(good.log_loss, exact.posterior.entropy().mean().item<double>() / kDim,
              5 * std::sqrt(0.5 / kDim / kSamples));
  EXPECT_NEAR(good.energy.back(), (scores.energy.select(1, kComponents - 1)).mean().item<double>(),
              1e-12);

  // The control: error bars ten per cent too short.
  const CalibrationSummary bad =
      summarise(score_posterior(exact.posterior.scaled(0.81), exact.clean, kComponents), kLevels,
                widths, widths);
  EXPECT_GT(worst_coverage(bad.coverage, kSamples), 5);
  EXPECT_GT(chi_squared(bad.component_pit, kSamples * kComponents), 60);
  EXPECT_GT(std::abs(bad.mahalanobis_mean - 1), 5 * spread / std::sqrt(kSamples));
}

TEST(Calibration, EnergyIsThatInsideTheComponents) {
  const Exact exact = exact_posteriors(52);
  const Gaussian few(exact.posterior.mean().narrow(0, 0, 5),
                     exact.posterior.covariance().slice(0, 5));
  const at::Tensor clean = exact.clean.narrow(0, 0, 5);
  const Scores scores = score_posterior(few, clean, kDim);
  const at::Tensor vectors = linalg::top_eigenpairs(few.covariance(), 2).vectors;  // [5, D, 2]
  const at::Tensor residual = clean - few.mean();
  const at::Tensor inside =
      at::matmul(vectors.transpose(1, 2), residual.unsqueeze(-1)).squeeze(-1).square().sum(-1);
  EXPECT_TRUE(at::allclose(scores.energy.select(1, 1), inside / residual.square().sum(-1)));
  EXPECT_TRUE(at::allclose(scores.energy.select(1, kDim - 1), at::ones({5}, at::kDouble)));
}

TEST(Calibration, ATemperatureMendsErrorBarsOfTheWrongSize) {
  const Exact exact = exact_posteriors(53);
  const Gaussian narrow = exact.posterior.scaled(0.25);
  const Scores scores = score_posterior(narrow, exact.clean, kComponents);
  const Recalibration fitted = fit_recalibration(scores, 0.8, kLevels);
  EXPECT_NEAR(fitted.temperature, 4, 4 * 5 * std::sqrt(2.0 / kDim / kSamples));  // five sd
  // No other temperature is likelier.
  const auto loss = [&](double factor) {
    return scaled(scores, factor * fitted.temperature).log_loss.mean().item<double>();
  };
  EXPECT_LT(loss(1), loss(0.99));
  EXPECT_LT(loss(1), loss(1.01));
  // Arithmetic on scores equals scores of the scaled posterior.
  const Scores mended = scaled(scores, fitted.temperature);
  const Scores again = score_posterior(narrow.scaled(fitted.temperature), exact.clean, kComponents);
  EXPECT_TRUE(at::allclose(mended.z, again.z, 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(mended.log_loss, again.log_loss, 1e-9));
  EXPECT_TRUE(at::allclose(mended.mahalanobis, again.mahalanobis, 1e-9));
  EXPECT_TRUE(at::allclose(mended.z_component, again.z_component, 1e-9));
  EXPECT_TRUE(at::allclose(mended.variance, again.variance, 1e-9));
}

// Truths with a Laplace's tails: Gaussian widths are wrong whatever the temperature, fitted ones
// hold on other samples.
TEST(Calibration, WidthsMendErrorBarsOfTheWrongShape) {
  torch::manual_seed(54);
  const auto laplace = [] {
    const at::Tensor u = at::rand({kSamples, kDim}, at::kDouble) - 0.5;
    return -u.sign() * (1 - 2 * u.abs()).log();
  };
  const Gaussian unit(
      at::zeros({kSamples, kDim}, at::kDouble),
      linalg::SymmetricOperator::from_diagonal(at::full({kSamples, kDim}, 2.0, at::kDouble)));
  const Recalibration fitted = fit_recalibration(score_posterior(unit, laplace(), 0), 0.8, kLevels);
  const Scores fresh = scaled(score_posterior(unit, laplace(), 0), fitted.temperature);
  const double draws = kSamples * kDim / 2.0;  // fitted on as many as it is measured on
  const std::vector<double> gaussian = gaussian_widths(kLevels);
  EXPECT_LT(worst_coverage(summarise(fresh, kLevels, fitted.widths, {}).coverage, draws), 5);
  EXPECT_GT(worst_coverage(summarise(fresh, kLevels, gaussian, {}).coverage, draws), 5);
}

TEST(Calibration, CountsTheCoordinatesAskedFor) {
  const Exact exact = exact_posteriors(55);
  Scores scores = score_posterior(exact.posterior, exact.clean, 0);
  scores.z.select(1, 0).fill_(100);  // never covered
  const std::vector<double> widths = gaussian_widths(kLevels);
  at::Tensor counted = at::ones({kDim}, at::kBool);
  EXPECT_NEAR(summarise(scores, kLevels, widths, {}).coverage[4], 0.99 * 7 / 8, 0.01);
  counted[0] = false;
  EXPECT_NEAR(summarise(scores, kLevels, widths, {}, counted).coverage[4], 0.99, 0.01);
  EXPECT_THROW(summarise(scores, kLevels, widths, {}, counted.narrow(0, 0, 3)),
               std::invalid_argument);
}

TEST(Calibration, InterpolatesBetweenNoiseLevelsAndIntervals) {
  const Recalibration a{0.25, 1, {0.5, 0.9}, {0.6, 1.5}, {}}, b{1, 4, {0.5, 0.9}, {0.8, 1.9}, {}};
  const Recalibration middle = interpolate({b, a}, 0.5);
  EXPECT_NEAR(middle.temperature, 2, 1e-12);
  EXPECT_NEAR(middle.widths[1], 1.7, 1e-12);
  EXPECT_NEAR(interpolate({a, b}, 1).temperature, 4, 1e-12);
  EXPECT_NEAR(interpolate({b}, 1).widths[0], 0.8, 1e-12);
  EXPECT_THROW(interpolate({a, b}, 1.1), std::domain_error);
  EXPECT_THROW(interpolate({}, 1), std::invalid_argument);
  EXPECT_NEAR(width_at(middle, 0.9), 1.7, 1e-12);
  EXPECT_GT(width_at(middle, 0.8), 0.7);
  EXPECT_THROW(width_at(middle, 0.95), std::domain_error);
}

TEST(Calibration, FileGivesTheCorrectionsBack) {
  const testing::Scratch scratch;
  const Exact exact = exact_posteriors(56);
  const Scores scores = score_posterior(exact.posterior, exact.clean, 2);
  CalibrationRecord record;
  record.fitted = fit_recalibration(scores, 0.8, kLevels);
  const auto widths = gaussian_widths(kLevels);
  record.raw = record.calibrated = summarise(scores, kLevels, widths, widths);
  const auto file = scratch / "calibration.json";
  EXPECT_NE(testing::error_of([&] { read_recalibrations(file); }).find("scorejet calibrate"),
            std::string::npos);
  write_calibration(file, {record});
  const Recalibration back = read_recalibrations(file).at(0);
  EXPECT_EQ(back.sigma, 0.8);
  EXPECT_EQ(back.temperature, record.fitted.temperature);
  EXPECT_EQ(back.widths, record.fitted.widths);
  EXPECT_EQ(back.component_widths, record.fitted.component_widths);
  const auto refusal = [&](const std::string& text) {
    io::write_file(file, text);
    return testing::error_of([&] { read_recalibrations(file); });
  };
  for (
      const auto& [text, expected] : std::vector<std::pair<std::string, std::string>>{
          {"[{\"sigma\": 1}]", "must be what scorejet calibrate wrote"},
          {"0", "must be what scorejet calibrate wrote"},
          {"[", "must be what scorejet calibrate wrote"},
          {"[]", "must hold a correction a sigma; got none"},
          {R"([{"sigma": 1, "temperature": 0, "levels": [], "widths": [], "component_widths": []}])",
           "must have positive sigmas and temperatures; got 1 and 0"},
          {R"([{"sigma": 1, "temperature": 1, "levels": [0.5], "widths": [],
                 "component_widths": []}])",
           "must have a width a level; got 0 for 1"}}) {
    const std::string error = refusal(text);
    EXPECT_NE(error.find(expected), std::string::npos) << error;
    EXPECT_NE(error.find(file.string()), std::string::npos) << error;
  }
}

TEST(Calibration, RefusesLevelsThatFewSamplesCannotTell) {
  Scores scores;
  scores.z = at::randn({5, 2});
  scores.z_component = at::empty({5, 0}, at::kDouble);
  scores.mahalanobis = at::ones({5}, at::kDouble);
  EXPECT_NE(testing::error_of([&] {
              fit_recalibration(scores, 1, {0.5, 0.99});
            }).find("99"),
            std::string::npos);
  EXPECT_THROW(fit_recalibration(scores, 1, {0.9, 0.5}), std::invalid_argument);
  EXPECT_THROW(fit_recalibration(scores, 1, {1.0}), std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::posterior
