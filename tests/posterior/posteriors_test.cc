// Posteriors of a long batch by each way to a covariance, on a Gaussian, where all are exact.
#include "scorejet/posterior.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "scorejet/gaussian_mixture.h"
#include "src/base/noise.h"
#include "src/base/seed.h"
#include "tests/scratch.h"

namespace scorejet::posterior {
namespace {

constexpr int64_t kFieldDim = 40, kFieldRows = 7;
constexpr double kFieldNoise = 0.5;

// Variances 2, 1, 1/2, ... down to 0.01.
struct KnownField {
  distributions::GaussianMixture density;
  at::Tensor clean, noisy;
};

KnownField make_known_field() {
  const auto normal = [](at::IntArrayRef shape, uint64_t seed) {
    return at::randn(shape, base::make_generator(seed, "test"), at::kDouble);
  };
  const at::Tensor basis = std::get<0>(at::linalg_qr(normal({kFieldDim, kFieldDim}, 1)));
  const at::Tensor variances = at::pow(0.5, at::arange(kFieldDim, at::kDouble) - 1).clamp_min(0.01);
  distributions::GaussianMixture density(at::ones({1}, at::kDouble), normal({1, kFieldDim}, 2),
                                         at::matmul(basis * variances, basis.t()).unsqueeze(0));
  const at::Tensor clean =
      density.sample(kFieldRows, base::make_generator(3, "test")).to(at::kDouble);
  const at::Tensor noisy = base::add_noise(clean, kFieldNoise, base::make_generator(4, "test"));
  return {std::move(density), clean, noisy};
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST(Posteriors, EveryWayFindsTheSameGaussian) {
  const KnownField known = make_known_field();
  const DenoiseOptions wanted{.num_components = 3, .num_samples = 2, .clean = known.clean};
  const Posterior learned = posteriors(known.density, known.noisy, kFieldNoise, {.wanted = wanted});
  for (const double tolerance : {0.0, 1e-6}) {
    for (const int64_t copies : {1, 16}) {
      const Posterior exact = posteriors(known.density, known.noisy, kFieldNoise,
                                         {.covariance = Covariance::kExact,
                                          .wanted = wanted,
                                          .block = 2,
                                          .copies = copies,
                                          .tolerance = tolerance});
      EXPECT_LT(largest_difference(exact.mean, learned.mean), 1e-10);
      EXPECT_LT(largest_difference(exact.variance, learned.variance), 1e-10);
      EXPECT_LT(largest_difference(exact.eigenvalues, learned.eigenvalues), 1e-5);
      EXPECT_LT(largest_difference(exact.components, learned.components), 1e-3);
      EXPECT_LT(largest_difference(exact.log_likelihood, learned.log_likelihood), 1e-7);
      EXPECT_LT(largest_difference(exact.mahalanobis, learned.mahalanobis), 1e-7);
      EXPECT_EQ(exact.num_indefinite, 0);
      ASSERT_TRUE(exact.negative_part.has_value());
      EXPECT_LT(*exact.negative_part, 1e-10);
    }
  }
  const Posterior subspace = posteriors(
      known.density, known.noisy, kFieldNoise,
      {.covariance = Covariance::kSubspace, .wanted = {.num_components = 3, .temperature = 2}});
  EXPECT_LT(largest_difference(subspace.eigenvalues / 2, learned.eigenvalues), 1e-3);
  EXPECT_LT(largest_difference(subspace.mean, learned.mean), 1e-10);
  EXPECT_FALSE(subspace.variance.defined());
  EXPECT_FALSE(subspace.samples.defined());
}

TEST(Posteriors, BlocksDoNotShow) {
  const KnownField known = make_known_field();
  const DenoiseOptions wanted{.num_components = 2, .num_samples = 2, .first_row = 5};
  const auto in_blocks = [&](int64_t rows) {
    return posteriors(known.density, known.noisy, kFieldNoise, {.wanted = wanted, .block = rows});
  };
  const Posterior whole = in_blocks(kFieldRows), parts = in_blocks(3);
  EXPECT_LT(largest_difference(whole.mean, parts.mean), 1e-12);
  EXPECT_LT(largest_difference(whole.samples, parts.samples), 1e-10);
  const Posterior last = row_of(whole, kFieldRows - 1);  // numbered as in the whole
  const Posterior alone =
      posteriors(known.density, known.noisy.narrow(0, kFieldRows - 1, 1), kFieldNoise,
                 {.wanted = {.num_samples = 2, .first_row = 5 + kFieldRows - 1}});
  EXPECT_LT(largest_difference(last.samples, alone.samples), 1e-10);
}

TEST(Posteriors, AStopGivesTheRowsThatWereDone) {
  const KnownField known = make_known_field();
  base::Listener listener;
  int64_t told = -1;
  listener.progress = [&](const base::ProgressEvent& event) { told = event.done; };
  listener.stop = [&] { return told >= 4; };
  const Posterior some =
      posteriors(known.density, known.noisy, kFieldNoise, {.block = 2}, listener);
  EXPECT_EQ(some.mean.size(0), 4);
  EXPECT_EQ(told, 4);
}

// A score that is infinite where x is large.
struct BrokenField : score::ScoreField {
  int64_t dim() const override { return 2; }
  int max_order() const override { return 1; }
  using ScoreField::evaluate;
  score::Jet evaluate(const at::Tensor& x, const at::Tensor&, int) const override {
    return {at::where(x > 4, x / at::zeros_like(x), -x)};
  }
};

TEST(Posteriors, AMeanThatIsNotFiniteIsNamed) {
  at::Tensor x = at::zeros({7, 2});
  x[5][1] = 9;
  const std::string error = testing::error_of([&] {
    posteriors(BrokenField(), x, kFieldNoise,
               {.covariance = Covariance::kSubspace, .block = 2, .name = "mine.pt"});
  });
  EXPECT_NE(error.find("mine.pt must give finite means; got inf at sample 5, coordinate 1"),
            std::string::npos)
      << error;
}

TEST(RowNoise, DependsOnTheRowAlone) {
  const at::Tensor x = at::zeros({4, 3});
  const at::Tensor all = base::add_row_noise(x, 0.5, 1, "stream");
  EXPECT_TRUE(
      all.narrow(0, 2, 2).equal(base::add_row_noise(x.narrow(0, 2, 2), 0.5, 1, "stream", 2)));
  EXPECT_FALSE(all[0].equal(all[1]));
  EXPECT_FALSE(all.equal(base::add_row_noise(x, 0.5, 1, "another")));
}

}  // namespace
}  // namespace scorejet::posterior
