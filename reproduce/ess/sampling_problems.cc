#include "reproduce/ess/sampling_problems.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <cmath>
#include <numbers>

#include "reproduce/shared/spectra.h"
#include "scorejet/distribution.h"
#include "scorejet/gaussian_mixture.h"
#include "src/base/error.h"
#include "src/base/seed.h"

namespace scorejet::reproduce {
namespace {

using distributions::GaussianMixture;
const auto kDouble = at::TensorOptions(at::kDouble);

// The mixture, of equal weights, in the principal axes of its samples.
std::unique_ptr<GaussianMixture> in_principal_axes(const at::Tensor& means,
                                                   const at::Tensor& covariances) {
  const at::Tensor weights =
      at::full({means.size(0)}, 1.0 / static_cast<double>(means.size(0)), kDouble);
  const at::Tensor x = GaussianMixture(weights, means, covariances)
                           .sample(100000, base::make_generator(2021, "principal axes"));
  const at::Tensor q = std::get<1>(at::linalg_eigh(at::cov(x.t())));
  return std::make_unique<GaussianMixture>(weights, at::matmul(means, q),
                                           at::matmul(at::matmul(q.t(), covariances), q));
}

SamplingProblem normal(double condition) {
  const at::Tensor q = random_rotation(20, base::make_generator(2021, "normal axes"));
  const at::Tensor covariance = with_axes(q, log_spaced(1, condition, 20));
  SamplingProblem problem;
  problem.name = fmt::format("condition-{}", condition);
  problem.density = in_principal_axes(at::zeros({1, 20}, kDouble), covariance.unsqueeze(0));
  problem.rank = 10;
  problem.num_chains = 64;
  problem.smallest_step = 0.05;
  problem.largest_step = 10 * condition;
  return problem;
}

SamplingProblem mixture_2() {
  std::vector<at::Tensor> covariances;
  for (int k = 0; k < 3; ++k) {
    const double angle = std::numbers::pi * k / 3;
    const at::Tensor along = at::tensor({std::cos(angle), std::sin(angle)}, kDouble);
    const at::Tensor across = at::tensor({-std::sin(angle), std::cos(angle)}, kDouble);
    covariances.push_back(4 * at::outer(along, along) + 0.05 * at::outer(across, across));
  }
  SamplingProblem problem;
  problem.name = "mixture-2";
  problem.density = in_principal_axes(at::zeros({3, 2}, kDouble), at::stack(covariances));
  problem.steps = 3000;
  problem.batch = 512;
  problem.depth = 2;
  problem.num_chains = 512;
  problem.smallest_step = 0.003;
  return problem;
}

SamplingProblem mixture_20() {
  at::Generator random = base::make_generator(2021, "mixture of 20");
  const at::Tensor means = 0.5 * at::randn({4, 20}, random, kDouble);
  const at::Tensor q = random_rotation(20, random);
  std::vector<at::Tensor> covariances;
  for (int k = 0; k < 4; ++k) {
    // Each has the same axes with its own order of the five longest.
    at::Tensor variances = log_spaced(0.05, 5, 20);
    const at::Tensor order = at::randperm(5, random, at::TensorOptions(at::kLong));
    variances =
        at::cat({variances.narrow(0, 0, 15), variances.narrow(0, 15, 5).index_select(0, order)});
    covariances.push_back(with_axes(q, variances));
  }
  SamplingProblem problem;
  problem.name = "mixture-20";
  problem.density = in_principal_axes(means, at::stack(covariances));
  problem.rank = 10;
  problem.num_chains = 64;
  problem.steps = 2000;
  problem.width = 256;
  problem.smallest_step = 0.003;
  return problem;
}

SamplingProblem planar(const std::string& name, double sigma) {
  SamplingProblem problem;
  problem.name = name;
  problem.density = distributions::make_planar(name);
  problem.sigma = sigma;
  problem.heavy_tails = true;
  problem.steps = 3000;
  problem.batch = 512;
  problem.depth = 2;
  problem.num_chains = 64;  // their exact scores are slow
  problem.evaluations = 500;
  problem.smallest_step = 0.05 * sigma * sigma;
  return problem;
}

}  // namespace

const std::vector<std::string>& sampling_problem_names() {
  static const std::vector<std::string> names{"condition-100", "condition-1000", "condition-10000",
                                              "mixture-2",     "mixture-20",     "funnel",
                                              "banana"};
  return names;
}

SamplingProblem make_sampling_problem(const std::string& name) {
  if (name == "condition-100") return normal(100);
  if (name == "condition-1000") return normal(1000);
  if (name == "condition-10000") return normal(10000);
  if (name == "mixture-2") return mixture_2();
  if (name == "mixture-20") return mixture_20();
  if (name == "funnel") return planar(name, 0.5);
  if (name == "banana") return planar(name, 0.2);
  base::fail_argument("reproduce::make_sampling_problem", "problem must be one of {}; got \"{}\"",
                      fmt::join(sampling_problem_names(), ", "), name);
}

}  // namespace scorejet::reproduce
