// Adjusted kernels have the right answer for every step size: detailed balance counted on bins, and
// a million draws against exact moments and quantiles. Each bound is tried on an unadjusted
// control.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "scorejet/base/seed.h"
#include "scorejet/distributions/gaussian_mixture.h"
#include "scorejet/sampling/chains.h"
#include "scorejet/sampling/proposal.h"

namespace scorejet::sampling {
namespace {

using distributions::GaussianMixture;

at::Tensor f64(std::vector<double> values) { return at::tensor(values, at::kDouble); }

Target known(const GaussianMixture& density, double sigma) {
  return {&density, sigma, [&](const at::Tensor& x, double s) {
            return density.log_density(x, at::full({}, s, x.options()));
          }};
}

// Points of p_sigma.
at::Tensor exact_draws(const GaussianMixture& density, double sigma, int64_t count) {
  const at::Tensor x = density.sample(count, base::make_generator(5, "clean"));
  return x + sigma * at::randn(x.sizes(), base::make_generator(5, "noise"), x.options());
}

// Upper 1e-6 point of χ² with k degrees of freedom (Wilson & Hilferty 1931).
double chi_squared_bound(double k) {
  return k * std::pow(1 - 2 / (9 * k) + 4.7534 * std::sqrt(2 / (9 * k)), 3);
}

// In equilibrium a reversible chain goes from bin i to bin j as often as back: with n_ij counts of
// independent chains, Σ (n_ij − n_ji)²/(n_ij + n_ji) over pairs is χ².
struct Balance {
  double statistic = 0, pairs = 0;
};

Balance balance(const GaussianMixture& density, const char* kernel, double epsilon) {
  constexpr int64_t kChains = 100000, kBins = 8;
  const double sigma = 0.2;
  const at::Tensor x = exact_draws(density, sigma, kChains);
  const ChainResult result =
      run_chains(known(density, sigma), find_kernel(kernel), x,
                 {.step_size = epsilon, .leapfrog_steps = 3}, {.num_steps = 1, .seed = 11});
  const at::Tensor edges = at::linspace(-2.2, 2.2, kBins - 1, at::kDouble);
  const at::Tensor bins = at::bucketize(result.positions.squeeze(-1).contiguous(), edges);
  const at::Tensor pair = bins.select(1, 0) * kBins + bins.select(1, 1);
  const at::Tensor n = at::bincount(pair, {}, kBins * kBins).view({kBins, kBins}).to(at::kDouble);
  Balance found;
  for (int64_t i = 0; i < kBins; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      const double a = n[i][j].item<double>(), b = n[j][i].item<double>();
      if (a + b < 20) continue;  // too few for a normal count
      found.statistic += (a - b) * (a - b) / (a + b);
      found.pairs += 1;
    }
  }
  return found;
}

TEST(Adjusted, DetailedBalanceOnBins) {
  const GaussianMixture density(f64({0.4, 0.6}), f64({-1, 1}).view({2, 1}),
                                f64({0.1, 0.3}).view({2, 1, 1}));
  for (const char* kernel : {"mala", "metropolis-ozaki", "metropolis-ozaki-diagonal", "hmc"}) {
    SCOPED_TRACE(kernel);
    const Balance found = balance(density, kernel, 0.2);
    EXPECT_GT(found.pairs, 5);
    EXPECT_LT(found.statistic, chi_squared_bound(found.pairs));
  }
  for (const char* kernel : {"langevin", "ozaki"}) {
    const Balance found = balance(density, kernel, 0.2);
    EXPECT_GT(found.statistic, chi_squared_bound(found.pairs))
        << kernel << ", a control, must fail";
  }
}

GaussianMixture two_adjusted_modes() {
  return {f64({0.3, 0.7}), f64({-1.0, 0.0, 1.0, 0.5}).view({2, 2}),
          f64({0.5, 0.2, 0.2, 0.4, 0.3, -0.1, -0.1, 0.6}).view({2, 2, 2})};
}

// The p-quantile of coordinate i of two_modes() with noise, by bisection of its distribution
// function.
double quantile(int64_t i, double sigma, double p) {
  const double weights[] = {0.3, 0.7}, means[2][2] = {{-1, 0}, {1, 0.5}};
  const double variances[2][2] = {{0.5, 0.4}, {0.3, 0.6}};
  double low = -20, high = 20;
  for (int step = 0; step < 100; ++step) {
    const double middle = (low + high) / 2;
    double mass = 0;
    for (int k = 0; k < 2; ++k) {
      const double deviation = std::sqrt(2 * (variances[k][i] + sigma * sigma));
      mass += weights[k] * std::erfc(-(middle - means[k][i]) / deviation) / 2;
    }
    (mass < p ? low : high) = middle;
  }
  return low;
}

// The largest deviation, in standard errors, of means, squares, the product and nine quantiles,
// over 1,000,000 draws of 2,000 chains that start from exact draws: under the null every draw has
// the exact distribution, and the chains' averages are independent, so the standard error is
// theirs.
double largest_deviation(const char* kernel, double epsilon) {
  constexpr int64_t kChains = 2000, kSteps = 500;
  const double sigma = 0.1, extra = sigma * sigma;
  const GaussianMixture density = two_adjusted_modes();
  const ChainResult result =
      run_chains(known(density, sigma), find_kernel(kernel), exact_draws(density, sigma, kChains),
                 {.step_size = epsilon, .leapfrog_steps = 3}, {.num_steps = kSteps, .seed = 2});
  const at::Tensor x = result.positions.narrow(1, 1, kSteps);
  double largest = 0;
  const auto test = [&](const at::Tensor& values, double expected) {
    const at::Tensor averages = values.to(at::kDouble).mean(1);
    const double error = averages.std().item<double>() / std::sqrt(double{kChains});
    largest = std::max(largest, std::abs(averages.mean().item<double>() - expected) / error);
  };
  const at::Tensor x0 = x.select(2, 0), x1 = x.select(2, 1);
  test(x0, 0.4);                                      // 0.3 (−1) + 0.7 (1)
  test(x1, 0.35);                                     // 0.7 (0.5)
  test(x0.square(), 0.3 * 1.5 + 0.7 * 1.3 + extra);   // Σ w (C + μ²)
  test(x1.square(), 0.3 * 0.4 + 0.7 * 0.85 + extra);  //
  test(x0 * x1, 0.3 * 0.2 + 0.7 * (-0.1 + 0.5));      //
  for (int64_t i : {0, 1}) {
    for (double p : {0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99}) {
      test(x.select(2, i) < quantile(i, sigma, p), p);
    }
  }
  return largest;
}

// 23 statistics, bound 5: false alarms below 1.4e-5 a kernel.
TEST(Adjusted, AMillionDrawsHaveTheRightMomentsAndQuantiles) {
  EXPECT_LT(largest_deviation("mala", 0.3), 5);
  EXPECT_LT(largest_deviation("metropolis-ozaki", 0.6), 5);
  EXPECT_LT(largest_deviation("metropolis-ozaki-diagonal", 0.6), 5);
  EXPECT_LT(largest_deviation("hmc", 0.2), 5);
  EXPECT_GT(largest_deviation("langevin", 0.3), 5) << "a biased control must fail";
}

TEST(Adjusted, OzakiIsNeverRejectedOnAGaussian) {
  const GaussianMixture density(f64({1}), f64({1, -1, 0}).view({1, 3}),
                                f64({1, 0.5, 0, 0.5, 2, 0.1, 0, 0.1, 0.01}).view({1, 3, 3}));
  const at::Tensor x0 = exact_draws(density, 0.1, 50);
  for (const char* kernel : {"metropolis-ozaki", "line-ozaki"}) {
    for (double epsilon : {1e-4, 0.1, 10.0}) {
      const ChainResult result = run_chains(known(density, 0.1), find_kernel(kernel), x0,
                                            {.step_size = epsilon}, {.num_steps = 5});
      EXPECT_GT(result.acceptance().min().item<double>(), 1 - 1e-9) << kernel << " " << epsilon;
    }
  }
}

TEST(LineIntegral, ErrorFallsWithTheFifthPowerOfTheDistance) {
  const GaussianMixture density = two_adjusted_modes();
  const Target target = known(density, 0.1);
  const Kernel& kernel = find_kernel("line-mala");
  const at::Tensor x = exact_draws(density, 0.1, 200);
  const at::Tensor d = at::randn(x.sizes(), base::make_generator(1, "direction"), x.options());
  const auto error = [&](double length, int64_t panels) {
    std::vector<ChainState> states;
    for (int64_t k = 0; k <= panels; ++k) {
      const double share = static_cast<double>(k) / static_cast<double>(panels);
      states.push_back(init(kernel, target, x + length * share * d));
    }
    const at::Tensor exact = target.log_density(states.back().x, 0.1) - target.log_density(x, 0.1);
    return (line_difference(states) - exact).abs().mean().item<double>();
  };
  const double by_length = error(0.1, 1) / error(0.05, 1);
  EXPECT_GT(by_length, 24);  // 32 in the limit; the trapezium rule's 8
  EXPECT_LT(by_length, 40);
  const double by_panels = error(0.2, 2) / error(0.2, 4);
  EXPECT_GT(by_panels, 12);  // 16 in the limit; the trapezium rule's 4
  EXPECT_LT(by_panels, 20);
  EXPECT_LT(error(0.1, 1), 1e-5);
}

// With enough panels the line is exact, and so are its draws.
TEST(LineIntegral, ManyPanelsGiveTheExactKernelsChain) {
  const GaussianMixture density = two_adjusted_modes();
  const at::Tensor x0 = exact_draws(density, 0.1, 100);
  const auto run = [&](const char* kernel) {
    return run_chains(known(density, 0.1), find_kernel(kernel), x0,
                      {.step_size = 0.3, .line_panels = 30}, {.num_steps = 20, .seed = 3});
  };
  const ChainResult line = run("line-ozaki"), exact = run("metropolis-ozaki");
  EXPECT_LT((line.positions - exact.positions).abs().max().item<double>(), 1e-9);
  EXPECT_LT(exact.acceptance().min().item<double>(), 1) << "something was rejected";
  EXPECT_EQ(line.chains.num_evaluations, 100 * (1 + 20 * 30));
}

TEST(Adaptation, FindsTheTargetAcceptance) {
  const GaussianMixture density = two_adjusted_modes();
  for (const char* name : {"mala", "hmc", "metropolis-ozaki"}) {
    const Kernel& kernel = find_kernel(name);
    for (double first : {1e-3, 10.0}) {
      const ChainResult result = run_chains(
          known(density, 0.1), kernel, exact_draws(density, 0.1, 100),
          {.step_size = first, .leapfrog_steps = 3}, {.num_steps = 200, .warmup = 400, .seed = 4});
      // Dual averaging holds the acceptance in its warm-up; the averaged log ε has a little more.
      EXPECT_NEAR(result.acceptance().mean().item<double>(), kernel.target_acceptance, 0.12)
          << name << " from " << first;
    }
  }
}

}  // namespace
}  // namespace scorejet::sampling
