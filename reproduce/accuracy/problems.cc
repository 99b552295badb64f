#include "reproduce/accuracy/problems.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "reproduce/shared/spectra.h"
#include "scorejet/gaussian_mixture.h"
#include "src/base/error.h"
#include "src/base/seed.h"
#include "src/distributions/logistic_mixture.h"

namespace scorejet::reproduce {
namespace {

const auto kProblemOptions = at::TensorOptions(at::kDouble);

at::Generator generator(const char* name) { return base::make_generator(2021, name); }

// A rotation of the given eigenvalues, drawn at random.
at::Tensor rotated(const at::Tensor& eigenvalues, at::Generator random) {
  return with_axes(random_rotation(eigenvalues.size(0), random), eigenvalues);
}

Problem normal_problem() {
  const at::Tensor eigenvalues =
      at::cat({at::full({70}, 0.3, kProblemOptions), log_spaced(0.4, 20, 30)});
  const at::Tensor covariance = rotated(eigenvalues, generator("normal"));
  return {"normal", "normal, 100-d",
          std::make_unique<distributions::GaussianMixture>(at::ones({1}, kProblemOptions),
                                                           at::zeros({1, 100}, kProblemOptions),
                                                           covariance.unsqueeze(0))};
}

Problem logistic() {
  at::Generator random = generator("logistic");
  const at::Tensor weights = at::softmax(0.5 * at::randn({50, 20}, random, kProblemOptions), 1);
  const at::Tensor locations = 6 * at::rand({50, 20}, random, kProblemOptions) - 3;
  const at::Tensor scales = 0.3 + 0.4 * at::rand({50, 20}, random, kProblemOptions);
  return {"logistic", "mixture of 20 logistics, 50-d",
          std::make_unique<distributions::LogisticMixture>(weights, locations, scales), true};
}

Problem mixture() {
  at::Generator random = generator("mixture");
  const at::Tensor means = 1.0 * at::randn({5, 20}, random, kProblemOptions);
  std::vector<at::Tensor> covariances;
  for (int k = 0; k < 5; ++k) covariances.push_back(rotated(log_spaced(0.3, 3, 20), random));
  return {"mixture", "mixture of 5 Gaussians, 20-d",
          std::make_unique<distributions::GaussianMixture>(at::full({5}, 0.2, kProblemOptions),
                                                           means, at::stack(covariances))};
}

Problem eight() {
  const at::Tensor angle = at::arange(8, kProblemOptions) * (std::numbers::pi / 4);
  const at::Tensor means = 2 * at::stack({angle.cos(), angle.sin()}, 1);
  const at::Tensor covariances = 0.09 * at::eye(2, kProblemOptions).repeat({8, 1, 1});
  return {"eight", "eight Gaussians, 2-d",
          std::make_unique<distributions::GaussianMixture>(at::full({8}, 0.125, kProblemOptions),
                                                           means, covariances)};
}

}  // namespace

const std::vector<std::string>& problem_names() {
  static const std::vector<std::string> names{"normal", "logistic", "mixture", "eight"};
  return names;
}

Problem make_problem(const std::string& name) {
  if (name == "normal") return normal_problem();
  if (name == "logistic") return logistic();
  if (name == "mixture") return mixture();
  if (name == "eight") return eight();
  base::fail_argument("reproduce::make_problem",
                      "problem must be normal, logistic, mixture or eight; got \"{}\"", name);
}

}  // namespace scorejet::reproduce
