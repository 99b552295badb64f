#include "reproduce/accuracy/problems.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "scorejet/gaussian_mixture.h"
#include "src/base/error.h"

namespace scorejet::reproduce {
namespace {

std::unique_ptr<distributions::Distribution> eight() {
  const auto options = at::TensorOptions(at::kDouble);
  const at::Tensor angle = at::arange(8, options) * (std::numbers::pi / 4);
  const at::Tensor means = 2 * at::stack({angle.cos(), angle.sin()}, 1);
  const at::Tensor covariances = 0.09 * at::eye(2, options).repeat({8, 1, 1});
  return std::make_unique<distributions::GaussianMixture>(at::full({8}, 0.125, options), means,
                                                          covariances);
}

}  // namespace

const std::vector<std::string>& problem_names() {
  static const std::vector<std::string> names{"normal", "logistic", "mixture", "eight"};
  return names;
}

Problem make_problem(const std::string& name) {
  using distributions::make_density;
  if (name == "normal") return {name, "normal, 100-d", make_density(name)};
  if (name == "logistic") {
    return {name, "mixture of 20 logistics, 50-d", make_density(name), true};
  }
  if (name == "mixture") return {name, "mixture of 5 Gaussians, 20-d", make_density(name)};
  if (name == "eight") return {name, "eight Gaussians, 2-d", eight()};
  base::fail_argument("reproduce::make_problem",
                      "problem must be normal, logistic, mixture or eight; got \"{}\"", name);
}

}  // namespace scorejet::reproduce
