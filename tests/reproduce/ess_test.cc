// The problems that samplers are compared on, and one comparison small enough to watch.
#include "reproduce/ess/ess.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "reproduce/ess/sampling_problems.h"
#include "src/base/seed.h"

namespace scorejet::reproduce {
namespace {

TEST(SamplingProblems, AreWhatTheirNamesSay) {
  for (const std::string& name : sampling_problem_names()) {
    const SamplingProblem problem = make_sampling_problem(name);
    EXPECT_EQ(problem.name, name);
    EXPECT_LT(problem.smallest_step, problem.largest_step);
    const at::Tensor x = problem.density->sample(2000, base::make_generator(1, "x"));
    EXPECT_TRUE(at::isfinite(problem.density->evaluate(x, problem.sigma, 2).s1).all().item<bool>());
  }
  for (const double condition : {100.0, 1000.0, 10000.0}) {
    const SamplingProblem problem = make_sampling_problem(fmt::format("condition-{}", condition));
    const at::Tensor x = at::zeros({1, 20}, at::kDouble);
    const at::Tensor h = problem.density->evaluate(x, 0.0, 2).s2->dense()[0];
    const at::Tensor eigenvalues = at::linalg_eigvalsh(h);
    EXPECT_NEAR((eigenvalues[0] / eigenvalues[19]).item<double>(), condition, 1e-6 * condition);
    // In its principal axes, as estimated: correlations of 100,000 draws are within 5/√100,000.
    const at::Tensor covariance = at::linalg_inv(-h);
    const at::Tensor deviation = covariance.diagonal().sqrt();
    const at::Tensor correlation =
        covariance / at::outer(deviation, deviation) - at::eye(20, h.options());
    EXPECT_LT(correlation.abs().max().item<double>(), 5 / std::sqrt(100000.0));
  }
  EXPECT_THROW(make_sampling_problem("condition-7"), std::invalid_argument);
}

TEST(Ess, AdjustedOzakiBeatsLangevinOnCrossedGaussians) {
  const std::vector<Task> tasks = ess_tasks({.fast = true, .seeds = 1, .out = ""});
  const auto row = [&](const std::string& key) {
    for (const Task& task : tasks) {
      if (task.key == key) return task.run().at(0);
    }
    return nlohmann::ordered_json();
  };
  const auto langevin = row("ess mixture-2 exact seed 0 fast langevin");
  const auto ozaki = row("ess mixture-2 exact seed 0 fast metropolis-ozaki");
  ASSERT_TRUE(langevin["ess_per_1000"].is_number()) << langevin;
  ASSERT_TRUE(ozaki["ess_per_1000"].is_number()) << ozaki;
  EXPECT_GT(ozaki["ess_per_1000"].get<double>(), 3 * langevin["ess_per_1000"].get<double>());
  for (const auto& one : {langevin, ozaki}) {
    EXPECT_LE(one["bias"].get<double>(), one["tolerated_bias"].get<double>());
    EXPECT_LT(one["ess_per_1000"].get<double>(), 1000);
  }
  EXPECT_TRUE(langevin["acceptance"].is_null());
  EXPECT_LT(langevin["step_size"].get<double>(), 0.12) << "beyond 2/16 it diverges";
}

}  // namespace
}  // namespace scorejet::reproduce
