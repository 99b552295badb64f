#include "reproduce/ess/sampling_problems.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "src/base/error.h"

namespace scorejet::reproduce {
namespace {

void give_normal(SamplingProblem& problem, double condition) {
  problem.rank = 10;
  problem.num_chains = 64;
  problem.smallest_step = 0.05;
  problem.largest_step = 10 * condition;
}

void give_mixture_2(SamplingProblem& problem) {
  problem.steps = 3000;
  problem.batch = 512;
  problem.depth = 2;
  problem.num_chains = 512;
  problem.smallest_step = 0.003;
}

void give_mixture_20(SamplingProblem& problem) {
  problem.rank = 10;
  problem.num_chains = 64;
  problem.steps = 2000;
  problem.width = 256;
  problem.smallest_step = 0.003;
}

void give_planar(SamplingProblem& problem, double sigma) {
  problem.sigma = sigma;
  problem.heavy_tails = true;
  problem.steps = 3000;
  problem.batch = 512;
  problem.depth = 2;
  problem.num_chains = 64;  // their exact scores are slow
  problem.evaluations = 500;
  problem.smallest_step = 0.05 * sigma * sigma;
}

}  // namespace

const std::vector<std::string>& sampling_problem_names() {
  static const std::vector<std::string> names{"condition-100", "condition-1000", "condition-10000",
                                              "mixture-2",     "mixture-20",     "funnel",
                                              "banana"};
  return names;
}

SamplingProblem make_sampling_problem(const std::string& name) {
  const auto& names = sampling_problem_names();
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    base::fail_argument("reproduce::make_sampling_problem", "problem must be one of {}; got \"{}\"",
                        fmt::join(names, ", "), name);
  }
  SamplingProblem problem;
  problem.name = name;
  problem.density = distributions::make_density(name);
  if (name == "condition-100") give_normal(problem, 100);
  if (name == "condition-1000") give_normal(problem, 1000);
  if (name == "condition-10000") give_normal(problem, 10000);
  if (name == "mixture-2") give_mixture_2(problem);
  if (name == "mixture-20") give_mixture_20(problem);
  if (name == "funnel") give_planar(problem, 0.5);
  if (name == "banana") give_planar(problem, 0.2);
  return problem;
}

}  // namespace scorejet::reproduce
