// Chains in the long run: faults stop one chain and leave the others, and annealed chains generate.
#include "scorejet/chains.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "src/base/seed.h"
#include "tests/sampling/two_modes.h"

namespace scorejet::sampling {
namespace {

// A standard normal whose score is NaN above 5, and which pushes outwards below −5.
class Treacherous : public score::ScoreField {
 public:
  int64_t dim() const override { return 1; }
  int max_order() const override { return 2; }
  using ScoreField::evaluate;
  score::Jet evaluate(const at::Tensor& x, const at::Tensor&, int) const override {
    at::Tensor s1 = at::where(x < -5, 20 * x, -x);
    s1 = at::where(x > 5, at::full_like(x, NAN), s1);
    return {s1, linalg::SymmetricOperator::from_diagonal(-at::ones_like(x))};
  }
};

TEST(Faults, StopOneChainWithAReasonAndLeaveTheOthers) {
  const Treacherous field;
  const Target target = on(field, 0);
  const at::Tensor x0 = at::tensor({0.0, 4.999, 1.0, -7.0, -1.0}, at::kDouble).unsqueeze(1);
  for (const char* name : {"langevin", "ozaki"}) {
    const Kernel& kernel = find_kernel(name);
    const KernelOptions options{.step_size = 0.5};
    const ChainOptions chain_options{.num_steps = 40, .seed = 2};
    at::Tensor start = x0.clone();
    start[1][0] = 6.0;
    EXPECT_THROW(run_chains(target, kernel, start, options, chain_options), std::domain_error)
        << "no score at the start";
    start = x0;
    const ChainResult result = run_chains(target, kernel, start, options, chain_options);
    const Chains& chains = result.chains;
    const auto reason = [&](int64_t c) {
      return static_cast<Fault>(chains.stop_reason[c].item<int64_t>());
    };
    EXPECT_EQ(reason(0), Fault::kNone);
    EXPECT_EQ(reason(3), Fault::kRunaway);
    EXPECT_TRUE(at::isfinite(result.positions).all().item<bool>());
    // A stopped chain stays where it was.
    const int64_t stopped = chains.stopped_at[3].item<int64_t>();
    ASSERT_GT(stopped, 0);
    EXPECT_TRUE(at::equal(result.positions[3][stopped], result.positions[3][stopped - 1]));
    EXPECT_TRUE(at::equal(result.positions[3][40], result.positions[3][stopped - 1]));
    EXPECT_NE(describe_stopped(chains).find("runaway: 1 of 5 chains (3 at step"), std::string::npos)
        << describe_stopped(chains);
    // The others are as they would be with any neighbours.
    const ChainResult alone =
        run_chains(target, kernel, start.narrow(0, 0, 1), options, chain_options);
    EXPECT_TRUE(at::equal(alone.positions[0], result.positions[0]));
  }
}

TEST(Faults, AScoreThatIsNotFiniteIsNamed) {
  const Treacherous field;
  const ChainResult result =
      run_chains(on(field, 0), find_kernel("langevin"), at::full({64, 1}, 4.9, at::kDouble),
                 {.step_size = 0.05}, {.num_steps = 30, .seed = 1});
  const at::Tensor stopped = result.chains.stopped_at >= 0;
  EXPECT_GT(stopped.sum().item<int64_t>(), 5);
  EXPECT_LT(stopped.sum().item<int64_t>(), 60);
  EXPECT_TRUE(
      (result.chains.stop_reason.masked_select(stopped) == static_cast<int64_t>(Fault::kScore))
          .all()
          .item<bool>());
  EXPECT_NE(describe_stopped(result.chains).find("score not finite"), std::string::npos);
  // An adjusted kernel rejects such a proposal instead, and goes on.
  const ChainResult adjusted =
      run_chains(on(field, 0), find_kernel("line-mala"), at::full({64, 1}, 4.9, at::kDouble),
                 {.step_size = 0.05}, {.num_steps = 30, .seed = 1});
  EXPECT_EQ(describe_stopped(adjusted.chains), "");
  EXPECT_LT(adjusted.positions.max().item<double>(), 5);
}

distributions::GaussianMixture distant_modes() {
  return {f64({0.3, 0.7}), f64({-2.0, 0.0, 2.0, 0.5}).view({2, 2}),
          f64({0.5, 0.2, 0.2, 0.4, 0.3, -0.1, -0.1, 0.6}).view({2, 2, 2})};
}

TEST(Annealed, GeneratesBothModesFromNoise) {
  const distributions::GaussianMixture density = distant_modes();
  constexpr int64_t kChains = 4000;
  const at::Tensor x0 = 4 * at::randn({kChains, 2}, base::make_generator(2, "start"), at::kDouble);
  const AnnealOptions options{
      .sigmas = geometric_ladder(4, 0.1, 12), .steps_per_level = 20, .seed = 3};
  for (const char* name : {"langevin", "ozaki"}) {
    const AnnealResult result = run_annealed(on(density, 0), find_kernel(name), x0, {}, options);
    EXPECT_EQ(result.chains.step, 240);
    const at::Tensor right = (result.samples.select(1, 0) > 0).to(at::kDouble);
    // Annealing is not exact: the share of the right mode is near its weight, 0.7.
    EXPECT_NEAR(right.mean().item<double>(), 0.7, 0.08) << name;
    EXPECT_NEAR(result.samples.select(1, 1).mean().item<double>(), 0.35, 0.08) << name;
  }
  EXPECT_THROW(geometric_ladder(1, 2, 5), std::domain_error);
  EXPECT_THROW(run_annealed(on(density, 0), find_kernel("ozaki"), x0, {}, {.sigmas = {0.1, 1.0}}),
               std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::sampling
