// What is known of adjusted kernels besides what all of them must do (conformance_test.cc): Ozaki's
// proposals on a Gaussian, and the line integral beside log p.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "scorejet/chains.h"
#include "src/sampling/proposal.h"
#include "tests/sampling/two_modes.h"

namespace scorejet::sampling {
namespace {

using distributions::GaussianMixture;

TEST(Adjusted, OzakiIsNeverRejectedOnAGaussian) {
  const GaussianMixture density(f64({1}), f64({1, -1, 0}).view({1, 3}),
                                f64({1, 0.5, 0, 0.5, 2, 0.1, 0, 0.1, 0.01}).view({1, 3, 3}));
  const at::Tensor x0 = exact_draws(density, 0.1, 50);
  for (const char* kernel : {"metropolis-ozaki", "line-ozaki"}) {
    for (double epsilon : {1e-4, 0.1, 10.0}) {
      const ChainResult result = run_chains(on(density, 0.1), find_kernel(kernel), x0,
                                            {.step_size = epsilon}, {.num_steps = 5});
      EXPECT_GT(result.acceptance().min().item<double>(), 1 - 1e-9) << kernel << " " << epsilon;
    }
  }
}

TEST(LineIntegral, ErrorFallsWithTheFifthPowerOfTheDistance) {
  const GaussianMixture density = two_modes();
  const Target target = on(density, 0.1);
  const Kernel& kernel = find_kernel("line-mala");
  const at::Tensor x = exact_draws(density, 0.1, 200);
  const at::Tensor d = at::randn(x.sizes(), base::make_generator(1, "direction"), x.options());
  const auto error = [&](double length, int64_t panels) {
    std::vector<LinePoint> points;
    for (int64_t k = 0; k <= panels; ++k) {
      const double share = static_cast<double>(k) / static_cast<double>(panels);
      const ChainState state = init(kernel, target, x + length * share * d);
      points.push_back({state.x, state.jet});
    }
    const at::Tensor exact = target.log_density(points.back().x) - target.log_density(x);
    return (line_difference(points) - exact).abs().mean().item<double>();
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
  const GaussianMixture density = two_modes();
  const at::Tensor x0 = exact_draws(density, 0.1, 100);
  const auto run = [&](const char* name) {
    const Kernel& kernel = find_kernel(name);
    return run_chains(on(density, 0.1), kernel, x0,
                      {.step_size = 0.3, .values = its_options(kernel, {{"line-panels", 30}})},
                      {.num_steps = 20, .seed = 3});
  };
  const ChainResult line = run("line-ozaki"), exact = run("metropolis-ozaki");
  EXPECT_LT((line.positions - exact.positions).abs().max().item<double>(), 1e-9);
  EXPECT_LT(exact.acceptance().min().item<double>(), 1) << "something was rejected";
  EXPECT_EQ(line.chains.num_evaluations, 100 * (1 + 20 * 30));
}

}  // namespace
}  // namespace scorejet::sampling
