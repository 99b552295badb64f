// Mixtures in D dimensions whose parameters are drawn from fixed seeds, of Gaussians and of
// logistics: what samplers and learned scores are tried on. Add one: a function here, and its lines
// in catalogue.cc.
#include <ATen/ATen.h>

#include <cmath>
#include <memory>
#include <numbers>
#include <vector>

#include "scorejet/gaussian_mixture.h"
#include "src/base/seed.h"
#include "src/distributions/logistic_mixture.h"

namespace scorejet::distributions {
namespace {

const auto kDrawn = at::TensorOptions(at::kDouble);

at::Generator drawn(const char* stream) { return base::make_generator(2021, stream); }

at::Tensor log_spaced(double first, double last, int64_t count) {  // both ends included
  return at::linspace(std::log(first), std::log(last), count, at::kDouble).exp();
}

at::Tensor random_rotation(int64_t d, at::Generator random) {
  return std::get<0>(at::linalg_qr(at::randn({d, d}, random, at::kDouble)));
}

// Q diag(eigenvalues) Qᵀ.
at::Tensor with_axes(const at::Tensor& q, const at::Tensor& eigenvalues) {
  return at::matmul(q * eigenvalues, q.t());
}

// Of equal weights.
GaussianMixture mixture_of(const at::Tensor& means, const at::Tensor& covariances) {
  const int64_t count = means.size(0);
  return {at::full({count}, 1.0 / static_cast<double>(count), kDrawn), means, covariances};
}

// The mixture in the principal axes of 100,000 draws, as one would decorrelate a data set before
// learning.
std::unique_ptr<Distribution> in_principal_axes(const at::Tensor& means,
                                                const at::Tensor& covariances) {
  const at::Tensor x = mixture_of(means, covariances).sample(100000, drawn("principal axes"));
  const at::Tensor q = std::get<1>(at::linalg_eigh(at::cov(x.t())));
  return std::make_unique<GaussianMixture>(
      mixture_of(at::matmul(means, q), at::matmul(at::matmul(q.t(), covariances), q)));
}

}  // namespace

// 100 dimensions: a random rotation of 70 eigenvalues 0.3 and 30 log-spaced from 0.4 to 20.
std::unique_ptr<Distribution> drawn_normal() {
  const at::Tensor eigenvalues = at::cat({at::full({70}, 0.3, kDrawn), log_spaced(0.4, 20, 30)});
  const at::Tensor covariance = with_axes(random_rotation(100, drawn("normal")), eigenvalues);
  return std::make_unique<GaussianMixture>(
      mixture_of(at::zeros({1, 100}, kDrawn), covariance.unsqueeze(0)));
}

// 50 independent coordinates, each of 20 logistics.
std::unique_ptr<Distribution> drawn_logistics() {
  at::Generator random = drawn("logistic");
  const at::Tensor weights = at::softmax(0.5 * at::randn({50, 20}, random, kDrawn), 1);
  const at::Tensor locations = 6 * at::rand({50, 20}, random, kDrawn) - 3;
  const at::Tensor scales = 0.3 + 0.4 * at::rand({50, 20}, random, kDrawn);
  return std::make_unique<LogisticMixture>(weights, locations, scales);
}

// Five Gaussians of full covariance in 20 dimensions.
std::unique_ptr<Distribution> drawn_gaussians() {
  at::Generator random = drawn("mixture");
  const at::Tensor means = 1.0 * at::randn({5, 20}, random, kDrawn);
  std::vector<at::Tensor> covariances;
  for (int k = 0; k < 5; ++k) {
    covariances.push_back(with_axes(random_rotation(20, random), log_spaced(0.3, 3, 20)));
  }
  return std::make_unique<GaussianMixture>(mixture_of(means, at::stack(covariances)));
}

// A normal in 20 dimensions, variances from 1 to `condition`, log-spaced.
std::unique_ptr<Distribution> conditioned_normal(double condition) {
  const at::Tensor q = random_rotation(20, drawn("normal axes"));
  const at::Tensor covariance = with_axes(q, log_spaced(1, condition, 20));
  return in_principal_axes(at::zeros({1, 20}, kDrawn), covariance.unsqueeze(0));
}

// Three long Gaussians of the plane across each other.
std::unique_ptr<Distribution> star() {
  std::vector<at::Tensor> covariances;
  for (int k = 0; k < 3; ++k) {
    const double angle = std::numbers::pi * k / 3;
    const at::Tensor along = at::tensor({std::cos(angle), std::sin(angle)}, kDrawn);
    const at::Tensor across = at::tensor({-std::sin(angle), std::cos(angle)}, kDrawn);
    covariances.push_back(4 * at::outer(along, along) + 0.05 * at::outer(across, across));
  }
  return in_principal_axes(at::zeros({3, 2}, kDrawn), at::stack(covariances));
}

// Four long Gaussians in 20 dimensions. Each has the same axes with its own order of the five
// longest.
std::unique_ptr<Distribution> long_gaussians() {
  at::Generator random = drawn("mixture of 20");
  const at::Tensor means = 0.5 * at::randn({4, 20}, random, kDrawn);
  const at::Tensor q = random_rotation(20, random);
  std::vector<at::Tensor> covariances;
  for (int k = 0; k < 4; ++k) {
    at::Tensor variances = log_spaced(0.05, 5, 20);
    const at::Tensor order = at::randperm(5, random, at::TensorOptions(at::kLong));
    variances =
        at::cat({variances.narrow(0, 0, 15), variances.narrow(0, 15, 5).index_select(0, order)});
    covariances.push_back(with_axes(q, variances));
  }
  return in_principal_axes(means, at::stack(covariances));
}

}  // namespace scorejet::distributions
