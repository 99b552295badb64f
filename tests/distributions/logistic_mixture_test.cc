#include "src/distributions/logistic_mixture.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <chrono>

#include "src/base/seed.h"

namespace scorejet::distributions {
namespace {

constexpr auto kLogisticDouble = at::kDouble;

LogisticMixture make(int64_t dim, int64_t components) {
  at::Generator g = base::make_generator(3, "logistic");
  const auto options = at::TensorOptions(kLogisticDouble);
  const at::Tensor w = at::softmax(at::randn({dim, components}, g, options), 1);
  const at::Tensor m = 2 * at::randn({dim, components}, g, options);
  const at::Tensor s = 0.2 + 0.6 * at::rand({dim, components}, g, options);
  return LogisticMixture(w, m, s);
}

// The scores as derivatives of log_density, all diagonal: sum over the batch is separable.
std::vector<at::Tensor> by_autodiff(const LogisticMixture& p, const at::Tensor& x, double sigma) {
  const at::Tensor leaf = x.detach().clone().requires_grad_();
  at::Tensor y = p.log_density(leaf, at::full({}, sigma, x.options())).sum();
  std::vector<at::Tensor> result;
  for (int n = 0; n < 3; ++n) {
    const at::Tensor g = torch::autograd::grad({y}, {leaf}, {}, true, true)[0];
    result.push_back(g.detach());
    y = g.sum();
  }
  return result;
}

double gap(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).abs() / (1 + b.abs())).max().item<double>();
}

TEST(LogisticMixture, EveryOrderEqualsAutodiffOfTheLogDensity) {
  const LogisticMixture p = make(3, 4);
  for (const double sigma : {0.0, 0.01, 0.1, 0.5, 2.0}) {
    const at::Tensor x = p.sample(100, base::make_generator(1, "x")) * 1.5;
    const auto expected = by_autodiff(p, x, sigma);
    const auto tabulated = p.evaluate(x, sigma, 3);  // a batch of one sigma: the table
    const auto direct = p.evaluate(x.narrow(0, 0, 20), sigma, 3);
    EXPECT_LT(gap(tabulated.s1, expected[0]), 1e-8) << sigma;
    EXPECT_LT(gap(tabulated.s2->diagonal(), expected[1]), 1e-8) << sigma;
    EXPECT_LT(gap(tabulated.s3->diagonal(), expected[2]), 1e-8) << sigma;
    EXPECT_LT(gap(direct.s1, expected[0].narrow(0, 0, 20)), 1e-10) << sigma;
    EXPECT_LT(gap(direct.s2->diagonal(), expected[1].narrow(0, 0, 20)), 1e-10) << sigma;
    EXPECT_LT(gap(direct.s3->diagonal(), expected[2].narrow(0, 0, 20)), 1e-9) << sigma;
  }
}

// Against another integral: over the logistic's own variable, Gaussian evaluated there, step 1e-3.
TEST(LogisticMixture, NoisyDensityEqualsABruteForceIntegral) {
  const auto options = at::TensorOptions(kLogisticDouble);
  const LogisticMixture p(at::ones({1, 1}, options), at::zeros({1, 1}, options),
                          at::full({1, 1}, 0.3, options));
  for (const double sigma : {0.05, 0.5, 5.0}) {
    const at::Tensor x = at::linspace(-4, 4, 17, options).view({-1, 1});
    const double step = 2e-3 * std::min(sigma, 0.3);
    const at::Tensor t = step * at::arange(-200000, 200001, options);  // y: clean value
    const at::Tensor v = t / 0.3;
    const at::Tensor logistic = at::sigmoid(v) * at::sigmoid(-v) / 0.3;
    const at::Tensor normal =
        (-0.5 * ((x - t) / sigma).square()).exp() / (sigma * std::sqrt(2 * M_PI));
    const at::Tensor truth = (logistic * normal).sum(1) * step;
    const at::Tensor density = p.log_density(x, at::full({}, sigma, options)).exp();
    EXPECT_LT(((density - truth).abs() / truth).max().item<double>(), 1e-8) << sigma;
  }
}

// 20,000 draws: mean within 5 standard errors, false-alarm rate below 1e-6.
TEST(LogisticMixture, SamplesHaveTheRightMoments) {
  const auto options = at::TensorOptions(kLogisticDouble);
  const LogisticMixture p(at::ones({1, 1}, options), at::full({1, 1}, 2.0, options),
                          at::full({1, 1}, 0.5, options));
  const at::Tensor x = p.sample(20000, base::make_generator(5, "x"));
  const double sd = 0.5 * M_PI / std::sqrt(3.0);
  EXPECT_NEAR(x.mean().item<double>(), 2.0, 5 * sd / std::sqrt(20000.0));
  EXPECT_NEAR(x.std().item<double>(), sd, 0.05 * sd);
  EXPECT_TRUE(x.equal(p.sample(20000, base::make_generator(5, "x"))));
}

TEST(LogisticMixture, PointsFarOutsideTheTableAreIntegrated) {
  const LogisticMixture p = make(2, 3);
  at::Tensor x = p.sample(100, base::make_generator(1, "x"));
  x[7][1] = 90.0;
  const auto jet = p.evaluate(x, 0.1, 1);
  const auto expected = by_autodiff(p, x, 0.1);
  EXPECT_LT(gap(jet.s1, expected[0]), 1e-8);
}

TEST(LogisticMixture, HundredThousandPointsInFiftyDimensionsTakeSeconds) {
  const LogisticMixture p = make(50, 20);
  const at::Tensor x = p.sample(100000, base::make_generator(1, "x"));
  const auto start = std::chrono::steady_clock::now();
  const auto jet = p.evaluate(x, 0.1, 3);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_TRUE(jet.s3->diagonal().isfinite().all().item<bool>());
  RecordProperty("seconds", std::to_string(seconds.count()));
  EXPECT_LT(seconds.count(), 60);  // a few on idle cores; shared ones are slower
}

TEST(LogisticMixture, BadInputIsNamed) {
  const auto options = at::TensorOptions(kLogisticDouble);
  const at::Tensor one = at::ones({1, 1}, options);
  EXPECT_THROW(LogisticMixture(0.5 * one, one, one), std::domain_error);
  EXPECT_THROW(LogisticMixture(one, one, -one), std::domain_error);
  EXPECT_THROW(make(2, 2).evaluate(at::zeros({3, 1}, options), 0.1, 1), std::invalid_argument);
  EXPECT_THROW(make(2, 2).evaluate(at::zeros({3, 2}, options), 0.1, 4), std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::distributions
