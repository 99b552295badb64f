// What the denoising experiment measures, on posteriors that are known exactly.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "bench/timing.h"
#include "reproduce/denoising/denoising.h"
#include "reproduce/denoising/denoising_measures.h"
#include "reproduce/denoising/denoising_methods.h"
#include "reproduce/shared/trained_model.h"
#include "scorejet/gaussian_mixture.h"
#include "src/base/seed.h"
#include "src/io/npy.h"
#include "src/io/tensor_bridge.h"
#include "tests/scratch.h"

namespace scorejet::reproduce {
namespace {

using testing::error_of;
using testing::Scratch;

at::Tensor normal(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, base::make_generator(seed, "test"), at::kDouble);
}

// A Gaussian with variances 2, 1, 1/2, ... down to 0.01: its posterior is one too, of the same
// covariance everywhere, with leading eigenvalues well apart.
struct Known {
  distributions::GaussianMixture density;
  at::Tensor clean, noisy;
  double sigma = 0.5;
};

Known make_known(int64_t dim, int64_t count) {
  const at::Tensor basis = std::get<0>(at::linalg_qr(normal({dim, dim}, 1)));
  const at::Tensor variances = at::pow(0.5, at::arange(dim, at::kDouble) - 1).clamp_min(0.01);
  distributions::GaussianMixture density(at::ones({1}, at::kDouble), normal({1, dim}, 2),
                                         at::matmul(basis * variances, basis.t()).unsqueeze(0));
  const at::Tensor clean = density.sample(count, base::make_generator(3, "test")).to(at::kDouble);
  const at::Tensor noisy = clean + 0.5 * normal({count, dim}, 4);
  return {std::move(density), clean, noisy};
}

TEST(DenoisingMeasures, RankCorrelationIsSpearmans) {
  const at::Tensor a = at::tensor({1.0, 2.0, 3.0, 4.0, 5.0}, at::kDouble);
  EXPECT_NEAR(rank_correlation(a, a.exp()), 1, 1e-12);
  EXPECT_NEAR(rank_correlation(a, -a), -1, 1e-12);
  // 1 − 6 Σd²/(n (n² − 1)) without ties: d = (1, −1, 0, 1, −1).
  EXPECT_NEAR(rank_correlation(a, at::tensor({2.0, 1.0, 3.0, 5.0, 4.0}, at::kDouble)), 0.8, 1e-12);
  // With ties, Pearson's of (0, 1.5, 1.5, 3) and (0, 1, 2, 3).
  EXPECT_NEAR(rank_correlation(at::tensor({1.0, 7.0, 7.0, 9.0}, at::kDouble),
                               at::tensor({1.0, 2.0, 3.0, 4.0}, at::kDouble)),
              4.5 / std::sqrt(4.5 * 5), 1e-12);
  EXPECT_TRUE(std::isnan(rank_correlation(a, at::ones_like(a))));
}

TEST(DenoisingMeasures, OfExactPosteriorsAreWhatTheyShouldBe) {
  constexpr int64_t kCount = 1000, kDim = 121;
  const Known known = make_known(kDim, kCount);
  const Posterior exact =
      direct_posteriors(known.density, known.clean, known.noisy, known.sigma, 50);
  at::Tensor counted = at::ones({kDim}, at::kBool);
  counted[0] = false;
  const auto row = measure_posteriors(exact, known.clean, counted, {1, 11, 11});
  // Coordinates of an image are correlated: as few as kCount independent ones are allowed for.
  const double error = 5 * std::sqrt(0.9 * 0.1 / kCount);
  EXPECT_NEAR(row["coverage_90"].get<double>(), 0.9, error);
  EXPECT_LT(row["coverage_error"].get<double>(), 5 * std::sqrt(0.25 / kCount));
  EXPECT_NEAR(row["mahalanobis"].get<double>(), 1, 5 * std::sqrt(2.0 / kDim / kCount));
  EXPECT_NEAR(row["sd_rank"].get<double>(), row["sd_rank_ideal"].get<double>(), 0.02);
  // Energy in the leading components: that of draws of independent coefficients.
  const at::Tensor covariance =
      known.density.evaluate(known.noisy.narrow(0, 0, 1), known.sigma, 2).s2->dense()[0] *
          std::pow(known.sigma, 4) +
      at::eye(kDim, at::kDouble) * std::pow(known.sigma, 2);
  const at::Tensor energy =
      normal({20000, kDim}, 5).square() * std::get<0>(at::linalg_eigh(covariance));
  const at::Tensor share = energy.narrow(1, kDim - 20, 20).sum(1) / energy.sum(1);
  EXPECT_NEAR(row["energy_20"].get<double>(), share.mean().item<double>(),
              5 * share.std().item<double>() / std::sqrt(static_cast<double>(kCount)));
  EXPECT_LT(row["energy_5"].get<double>(), row["energy_20"].get<double>());

  Posterior wide = exact;  // a control: twice the standard deviations
  wide.variance = 4 * exact.variance;
  EXPECT_GT(
      measure_posteriors(wide, known.clean, counted, {1, 11, 11})["coverage_90"].get<double>(),
      0.95);
  Posterior bare;
  bare.mean = exact.mean;
  const auto nothing = measure_posteriors(bare, known.clean, counted, {1, 11, 11});
  EXPECT_TRUE(nothing["coverage_90"].is_null());
  EXPECT_TRUE(nothing["nll"].is_null());
  EXPECT_TRUE(nothing["energy_1"].is_null());
}

TEST(DenoisingMethods, AgreeWhereTheFieldIsExact) {
  const Known known = make_known(121, 6);
  const Posterior direct =
      direct_posteriors(known.density, known.clean, known.noisy, known.sigma, 20);
  const Posterior jacobian =
      jacobian_posteriors(known.density, known.clean, known.noisy, known.sigma, 20);
  EXPECT_LT((direct.variance.sqrt() - jacobian.variance.sqrt()).abs().max().item<double>(), 1e-10);
  EXPECT_LT((direct.eigenvalues - jacobian.eigenvalues).abs().max().item<double>(), 1e-5);
  EXPECT_LT((direct.log_likelihood - jacobian.log_likelihood).abs().max().item<double>(), 1e-7);
  EXPECT_EQ(jacobian.num_indefinite, 0);
  const at::Tensor counted = at::ones({121}, at::kBool);
  const auto agreement = measure_agreement(direct, jacobian, counted);
  EXPECT_NEAR(agreement["cosine_1"].get<double>(), 1, 1e-4);
  EXPECT_NEAR(agreement["overlap_5"].get<double>(), 1, 1e-4);
  EXPECT_NEAR(agreement["sd_agreement"].get<double>(), 1, 1e-6);
  Posterior turned = jacobian;  // a control
  turned.components = jacobian.components.flip(1);
  EXPECT_LT(measure_agreement(direct, turned, counted)["cosine_1"].get<double>(), 0.1);

  const SubspacePairs pairs =
      subspace_iteration(known.density, known.noisy, known.sigma,
                         {.count = 3, .tolerance = 1e-6, .max_iterations = 5000});
  EXPECT_LT((pairs.values - direct.eigenvalues.narrow(1, 0, 3)).abs().max().item<double>(), 1e-5);
  EXPECT_LE(pairs.residual, 1e-6);
  EXPECT_EQ(subspace_iteration(known.density, known.noisy, known.sigma,
                               {.count = 3, .tolerance = 0, .max_iterations = 4})
                .iterations,
            4);
}

// Residuals of a known covariance: its components, and distances that are right on average.
TEST(DenoisingMethods, PcaHasTheResidualsOwnDirections) {
  constexpr int64_t kCount = 2000;
  const Known known = make_known(121, 2 * kCount);
  const at::Tensor means = denoised_means(known.density, known.noisy, known.sigma);
  const at::Tensor residuals = known.clean - means;
  const Posterior pca = pca_posteriors(known.density, known.clean.narrow(0, kCount, kCount),
                                       known.noisy.narrow(0, kCount, kCount), known.sigma,
                                       residuals.narrow(0, 0, kCount), 50);
  EXPECT_NEAR(pca.mahalanobis.mean().item<double>(), 1, 0.05);  // 50 components were fitted
  const Posterior exact = direct_posteriors(known.density, known.clean.narrow(0, 0, 1),
                                            known.noisy.narrow(0, 0, 1), known.sigma, 5);
  // The covariance is the same at every image, so PCA finds its subspace.
  const at::Tensor product = at::matmul(pca.components.narrow(0, 0, 5), exact.components[0].t());
  EXPECT_GT(product.square().sum().item<double>() / 5, 0.8);
}

TEST(Timing, PeakMemoryIsWhatABodyTakes) {
  constexpr double kBytes = 64e6;
  const auto take = [](double bytes) {
    return bench::peak_memory([bytes] {
      const at::Tensor x = at::ones({static_cast<int64_t>(bytes)}, at::kChar);
      EXPECT_EQ(x[0].item<int>(), 1);
    });
  };
  take(kBytes);  // what the library itself takes once
  EXPECT_NEAR(take(kBytes), kBytes, 0.1 * kBytes);
  EXPECT_NEAR(take(2 * kBytes), 2 * kBytes, 0.1 * kBytes);
  EXPECT_LT(take(1), 0.1 * kBytes);
}

TEST(TrainedModel, IsTakenAsItIsOrRefused) {
  const Scratch scratch;
  io::write_npy(scratch / "x.npy", io::from_tensor(normal({64, 4}, 5).to(at::kFloat)));
  training::RunConfig config;
  config.data.name = (scratch / "x.npy").string();
  config.data.validation = 8;
  config.model.network.rank = 2;
  config.model.network.mlp.width = 8;
  config.train.steps = 3;
  config.train.batch = 4;
  EXPECT_EQ(prepare_model(config, scratch / "run"), 3);
  config.train.steps = 5;
  EXPECT_EQ(prepare_model(config, scratch / "run"), 5);  // trained on
  config.train.steps = 2;
  EXPECT_EQ(prepare_model(config, scratch / "run"), 5);  // more than asked for
  config.noise.sigma = 0.7;
  EXPECT_NE(error_of([&] { prepare_model(config, scratch / "run"); }).find("sigma 0.7 to 0"),
            std::string::npos);
}

TEST(DenoisingPlan, ComparesModelsOfEqualSteps) {
  for (const bool fast : {false, true}) {
    for (const DenoisingPlan& plan : {denoise_mnist_plan(fast), denoise_cifar10_plan(fast)}) {
      training::validate(plan.model);
      const SideModel* twin = nullptr;
      for (const SideModel& side : plan.sides) {
        training::validate(side.config);
        if (side.name == plan.twin) twin = &side;
      }
      if (plan.twin.empty()) continue;
      ASSERT_NE(twin, nullptr);
      int64_t single = 0;
      for (const SideModel& side : plan.sides) {
        if (side.conditioned) continue;
        ++single;
        EXPECT_EQ(side.config.train.steps, twin->config.train.steps);
        EXPECT_EQ(side.config.model.network.rank, twin->config.model.network.rank);
      }
      EXPECT_EQ(single, static_cast<int64_t>(plan.sigmas.size()));
    }
  }
}

// What the command trains by itself is what `scorejet train configs/denoise-....toml` trains.
TEST(DenoisingPlan, MainModelsAreTheConfigurations) {
  const std::string folder = std::string(std::getenv("SCOREJET_SOURCE_DIR")) + "/configs/denoise-";
  EXPECT_EQ(training::to_toml(training::read_config(folder + "mnist.toml")),
            training::to_toml(denoise_mnist_plan(false).model));
  EXPECT_EQ(training::to_toml(training::read_config(folder + "cifar10.toml")),
            training::to_toml(denoise_cifar10_plan(false).model));
}

}  // namespace
}  // namespace scorejet::reproduce
