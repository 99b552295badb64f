// What every kernel must do, and the law that it declares: detailed balance counted on bins, a
// million draws against exact moments and quantiles, Gaussians that stay what they are. Each bound
// is tried on kernels that must break it.
#include "tests/sampling/conformance.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "scorejet/autodiff_field.h"
#include "scorejet/chains.h"
#include "src/io/npz.h"
#include "src/io/tensor_bridge.h"
#include "tests/sampling/two_modes.h"
#include "tests/scratch.h"

namespace scorejet::sampling {
namespace {

namespace fs = std::filesystem;
using distributions::GaussianMixture;

// Options of a kernel: what it counts its evaluations by, where it does.
KernelOptions with(const Kernel& kernel, double step_size, double evaluations) {
  KernelOptions options{.step_size = step_size};
  if (kernel.evaluations != nullptr) options.values[kernel.evaluations] = evaluations;
  return options;
}

// Whether it is right for every step size, its line integral taken in many pieces.
bool is_exact(const Kernel& kernel) { return kernel.exactness >= Exactness::kLine; }

TEST(Conformance, DeclaresItsOptionsAndChecksThem) {
  for (const Kernel& kernel : kernels_under_test()) {
    SCOPED_TRACE(kernel.name);
    EXPECT_GT(std::string(kernel.law).size(), 10U);
    EXPECT_EQ(kernel.target_acceptance > 0, kernel.adjustment != Adjustment::kNone);
    EXPECT_NO_THROW(check_options(kernel, {}));
    EXPECT_THROW(check_options(kernel, {.step_size = 0}), std::domain_error);
    EXPECT_THROW(check_options(kernel, {.values = {{"no-such-option", 1}}}), std::invalid_argument);
    for (const KernelOption& option : kernel.options) {
      EXPECT_GT(std::string(option.help).size(), 10U);
      EXPECT_EQ(option_value(kernel, {}, option.name), option.value);
      const auto given = [&](double value) {
        return KernelOptions{.values = {{option.name, value}}};
      };
      EXPECT_EQ(option_value(kernel, given(option.least), option.name), option.least);
      EXPECT_THROW(check_options(kernel, given(option.least - 1)), std::invalid_argument);
      EXPECT_THROW(check_options(kernel, given(NAN)), std::invalid_argument);
      if (option.integer) {
        EXPECT_THROW(check_options(kernel, given(option.least + 0.5)), std::invalid_argument);
      }
    }
  }
}

TEST(Conformance, CourseOfAChainDoesNotDependOnItsNeighbours) {
  const GaussianMixture density = two_modes();
  const Target target = on(density, 0.1);
  const at::Tensor x0 = at::randn({5, 2}, at::kDouble);
  const ChainOptions options{.num_steps = 10, .warmup = 6, .thin = 5, .seed = 3};
  for (const Kernel& kernel : kernels_under_test()) {
    SCOPED_TRACE(kernel.name);
    for (const KernelOptions& given : {KernelOptions{.step_size = 0.1}, with(kernel, 0.1, 3)}) {
      const auto all = run_chains(target, kernel, x0, given, options);
      const auto few = run_chains(target, kernel, x0.narrow(0, 0, 2), given, options);
      EXPECT_EQ(all.positions.sizes(), at::IntArrayRef({5, 3, 2}));
      EXPECT_TRUE(at::allclose(all.positions.narrow(0, 0, 2), few.positions, 1e-9, 1e-12));
      EXPECT_EQ(all.chains.stopped_at.max().item<int64_t>(), -1);
      EXPECT_GT(all.chains.state.x.std().item<double>(), 0.1);
      EXPECT_EQ(all.acceptance().defined(), kernel.adjustment != Adjustment::kNone);
      EXPECT_EQ(all.chains.num_evaluations, 5 * (1 + 16 * evaluations_per_step(kernel, given)));
    }
  }
}

// Any field will do: here s2 by automatic differentiation of s1, beside the exact one.
TEST(Conformance, RunsOnAnyField) {
  const GaussianMixture density = two_modes();
  const score::AutodiffField autodiff(density);
  const at::Tensor x0 = at::randn({4, 2}, at::kDouble);
  for (const Kernel& kernel : kernels_under_test()) {
    const auto run = [&](const Target& target) {
      return run_chains(target, kernel, x0, {.step_size = 0.1}, {.num_steps = 8}).positions;
    };
    const at::Tensor exact = run(on(density, 0.1));
    EXPECT_LT((exact - run(on(autodiff, 0.1))).abs().max().item<double>(), 1e-9) << kernel.name;
    // Scores from one, log p from the other.
    const Target both{score::borrow(autodiff), 0.1, score::borrow(density)};
    EXPECT_LT((exact - run(both)).abs().max().item<double>(), 1e-9) << kernel.name;
  }
}

struct Killed {};

TEST(Conformance, AKilledRunGoesOnBitForBit) {
  const testing::Scratch scratch;
  const GaussianMixture density = two_modes();
  const Target target = on(density, 0.1);
  const at::Tensor x0 = at::randn({4, 2}, base::make_generator(1, "start"), at::kDouble);
  const ChainOptions options{.num_steps = 30, .warmup = 20, .thin = 3, .seed = 6};
  for (const Kernel& kernel : kernels_under_test()) {
    SCOPED_TRACE(kernel.name);
    StreamOptions stream{.file = scratch / (std::string(kernel.name) + ".npz"),
                         .description = kernel.name,
                         .seconds_between = 0};
    const ChainResult whole = run_chains(target, kernel, x0, {.step_size = 0.1}, options);
    const auto run = [&](int64_t kill_at) {
      return stream_chains(target, kernel, x0, {.step_size = 0.1}, options, stream,
                           [&](const Chains& chains) {
                             if (chains.step == kill_at) throw Killed();
                           });
    };
    EXPECT_THROW(run(7), Killed);  // in the warm-up
    EXPECT_FALSE(fs::exists(stream.file));
    EXPECT_THROW(run(-1), std::runtime_error) << "an unfinished run is there";
    stream.resume = true;
    stream.description = "another";
    EXPECT_THROW(run(-1), std::runtime_error) << "not the same run";
    stream.older_description = kernel.name;  // what an earlier release called it
    EXPECT_THROW(run(32), Killed);
    stream.description = kernel.name;
    const StreamResult resumed = run(-1);
    EXPECT_EQ(resumed.resumed_from, 31);
    EXPECT_TRUE(at::equal(resumed.chains.positions, whole.positions));
    EXPECT_TRUE(at::equal(resumed.chains.steps, whole.steps));
    EXPECT_EQ(resumed.chains.chains.num_evaluations, whole.chains.num_evaluations);
    EXPECT_FALSE(fs::exists(stream.file.string() + ".partial"));
    const io::NamedArrays arrays = io::read_npz(stream.file);
    EXPECT_TRUE(at::equal(io::to_tensor(arrays.at("positions")), whole.positions));
    EXPECT_EQ(arrays.contains("acceptance"), kernel.adjustment != Adjustment::kNone);
  }
}

TEST(Conformance, RunsDownALadder) {
  const GaussianMixture density = two_modes();
  const at::Tensor x0 = 4 * at::randn({50, 2}, base::make_generator(2, "start"), at::kDouble);
  const AnnealOptions options{.sigmas = geometric_ladder(4, 0.1, 6), .steps_per_level = 10};
  for (const Kernel& kernel : kernels_under_test()) {
    SCOPED_TRACE(kernel.name);
    const AnnealResult result = run_annealed(on(density, 0), kernel, x0, {}, options);
    EXPECT_EQ(result.chains.step, 60);
    EXPECT_TRUE(at::isfinite(result.samples).all().item<bool>());
    EXPECT_LT(result.samples.abs().max().item<double>(), 8);
  }
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

Balance balance(const GaussianMixture& density, const Kernel& kernel, double epsilon) {
  constexpr int64_t kChains = 100000, kBins = 8;
  const double sigma = 0.2;
  const at::Tensor x = exact_draws(density, sigma, kChains);
  const ChainResult result = run_chains(on(density, sigma), kernel, x, with(kernel, epsilon, 3),
                                        {.num_steps = 1, .seed = 11});
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

TEST(Conformance, DetailedBalanceOnBins) {
  const GaussianMixture density(f64({0.4, 0.6}), f64({-1, 1}).view({2, 1}),
                                f64({0.1, 0.3}).view({2, 1, 1}));
  for (const Kernel& kernel : kernels_under_test()) {
    SCOPED_TRACE(kernel.name);
    const Balance found = balance(density, kernel, 0.2);
    EXPECT_GT(found.pairs, 5);
    if (is_exact(kernel)) {
      EXPECT_LT(found.statistic, chi_squared_bound(found.pairs));
    } else {
      EXPECT_GT(found.statistic, chi_squared_bound(found.pairs)) << "a control must fail";
    }
  }
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
double largest_deviation(const Kernel& kernel, double epsilon) {
  constexpr int64_t kChains = 2000, kSteps = 500;
  const double sigma = 0.1, extra = sigma * sigma;
  const GaussianMixture density = two_modes();
  const ChainResult result =
      run_chains(on(density, sigma), kernel, exact_draws(density, sigma, kChains),
                 with(kernel, epsilon, 3), {.num_steps = kSteps, .seed = 2});
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
TEST(Conformance, AMillionDrawsHaveTheRightMomentsAndQuantiles) {
  for (const Kernel& kernel : kernels_under_test()) {
    if (kernel.exactness == Exactness::kLine) continue;  // balanced on bins; here for long
    SCOPED_TRACE(kernel.name);
    const double found = largest_deviation(kernel, kernel.order == 1 ? 0.3 : 0.6);
    if (is_exact(kernel)) {
      EXPECT_LT(found, 5);
    } else {
      EXPECT_GT(found, 5) << "a biased control must fail";
      EXPECT_LT(largest_deviation(kernel, 0.003), 5) << "right as the step size falls";
    }
  }
}

// The largest deviation of the covariance of 20,000 chains from what it is, in standard errors,
// after five steps from exact draws.
double covariance_deviation(const Kernel& kernel, const at::Tensor& covariance, double epsilon) {
  constexpr int64_t kChains = 20000;
  const GaussianMixture density(f64({1}), at::zeros({1, 3}, at::kDouble), covariance.unsqueeze(0));
  const ChainResult result =
      run_chains(on(density, 0.1), kernel, exact_draws(density, 0.1, kChains),
                 with(kernel, epsilon, 3), {.num_steps = 5, .thin = 5, .seed = 4});
  const at::Tensor x = result.positions.select(1, 1);
  const at::Tensor expected = covariance + 0.01 * at::eye(3, at::kDouble);
  const at::Tensor sd = expected.diagonal().sqrt();
  const at::Tensor off = (x.t().matmul(x) / double{kChains} - expected) / at::outer(sd, sd);
  return off.abs().max().item<double>() * std::sqrt(double{kChains} / 2);
}

// Nine covariances, bound 5 (6 different; that of unlike coordinates errs by less): false alarms
// below 4e-6 a kernel.
TEST(Conformance, HoldsGaussiansAsItDeclares) {
  const at::Tensor skew = f64({1, 0.95, 0, 0.95, 1.2, 0.1, 0, 0.1, 0.2}).view({3, 3});
  const at::Tensor straight = skew.diagonal().diag();
  for (const Kernel& kernel : kernels_under_test()) {
    SCOPED_TRACE(kernel.name);
    const double epsilon = 0.3;
    const double on_skew = covariance_deviation(kernel, skew, epsilon);
    const double on_straight = covariance_deviation(kernel, straight, epsilon);
    const bool all = kernel.exactness == Exactness::kGaussians || is_exact(kernel);
    if (all) {
      EXPECT_LT(on_skew, 5);
      EXPECT_LT(on_straight, 5);
    }
    if (kernel.exactness == Exactness::kDiagonal) {
      EXPECT_LT(on_straight, 5);
      EXPECT_GT(on_skew, 5) << "a control must fail";
    }
    if (kernel.exactness == Exactness::kSmallSteps) {
      EXPECT_GT(on_straight, 5) << "a control must fail";
    }
  }
}

TEST(Conformance, FindsTheTargetAcceptance) {
  const GaussianMixture density = two_modes();
  for (const Kernel& kernel : kernels_under_test()) {
    if (kernel.adjustment == Adjustment::kNone) continue;
    for (double first : {1e-3, 10.0}) {
      const ChainResult result =
          run_chains(on(density, 0.1), kernel, exact_draws(density, 0.1, 100),
                     with(kernel, first, 3), {.num_steps = 200, .warmup = 400, .seed = 4});
      // Dual averaging holds the acceptance in its warm-up; the averaged log ε has a little more.
      EXPECT_NEAR(result.acceptance().mean().item<double>(), kernel.target_acceptance, 0.12)
          << kernel.name << " from " << first;
    }
  }
}

}  // namespace
}  // namespace scorejet::sampling
