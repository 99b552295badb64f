// The likelihood loss against dense float64 algebra, and what it is for: where it is least.
#include "src/objectives/likelihood.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include <functional>
#include <vector>

namespace scorejet::objectives {
namespace {

using linalg::SymmetricOperator;

constexpr int64_t kRows = 4, kDim = 6, kRank = 2;

// ½ [ln det C + rᵀ C⁻¹ r] with the matrix, its inverse and its determinant.
at::Tensor obvious(const at::Tensor& s1, const at::Tensor& s2, const at::Tensor& z,
                   const at::Tensor& sigma) {
  const at::Tensor c = at::eye(z.size(1), z.options()) + sigma.square().view({-1, 1, 1}) * s2;
  const at::Tensor r = (z + sigma.unsqueeze(-1) * s1).unsqueeze(-1);
  return 0.5 *
         (at::logdet(c) +
          at::matmul(r.transpose(1, 2), at::matmul(at::linalg_inv(c), r)).squeeze(-1).squeeze(-1));
}

struct Inputs {
  at::Tensor s1, z, sigma, a, factor;
};

// s2 = diag(a) + F Fᵀ with I + σ² s2 positive definite, its least diagonal part `smallest`.
Inputs make_inputs(double smallest) {
  torch::manual_seed(41);
  const auto options = at::TensorOptions(at::kDouble);
  Inputs in{at::randn({kRows, kDim}, options),
            at::randn({kRows, kDim}, options),
            0.3 + at::rand({kRows}, options),
            {},
            at::randn({kRows, kDim, kRank}, options)};
  const at::Tensor c = smallest + at::rand({kRows, kDim}, options);
  in.a = (c - 1) / in.sigma.square().unsqueeze(-1);
  return in;
}

TEST(LikelihoodLoss, EqualsDenseAlgebraInEveryStructure) {
  for (const double smallest : {0.1, 1e-5}) {  // the latter: what a psd model's floor leaves
    const Inputs in = make_inputs(smallest);
    for (const auto& s2 :
         {SymmetricOperator::from_diagonal(in.a), SymmetricOperator::from_low_rank(in.a, in.factor),
          SymmetricOperator::from_dense(
              SymmetricOperator::from_low_rank(in.a, in.factor).dense())}) {
      const at::Tensor expected = obvious(in.s1, s2.dense(), in.z, in.sigma);
      const at::Tensor loss = likelihood_loss(in.s1, s2, in.z, in.sigma);
      EXPECT_LT(((loss - expected).abs() / expected.abs()).max().item<double>(), 1e-8)
          << linalg::structure_name(s2.structure()) << " " << smallest;
    }
  }
}

TEST(LikelihoodLoss, HasTheGradientOfDenseAlgebraAndNoneInS1) {
  const Inputs in = make_inputs(0.1);
  const at::Tensor a = in.a.clone().requires_grad_(), f = in.factor.clone().requires_grad_();
  const at::Tensor s1 = in.s1.clone().requires_grad_();
  const auto gradients = [&](const at::Tensor& loss) {
    return torch::autograd::grad({loss.sum()}, {a, f});
  };
  const auto s2 = SymmetricOperator::from_low_rank(a, f);
  const auto fast = gradients(likelihood_loss(s1, s2, in.z, in.sigma));
  const auto slow = gradients(obvious(in.s1, s2.dense(), in.z, in.sigma));
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_LT(((fast[i] - slow[i]).norm() / slow[i].norm()).item<double>(), 1e-9) << i;
  }
  const at::Tensor unused = torch::autograd::grad({likelihood_loss(s1, s2, in.z, in.sigma).sum()},
                                                  {s1}, {}, {}, false, true)[0];
  EXPECT_FALSE(unused.defined());
}

// N(0, V): r has covariance C = I + σ² s2 = V/(V + σ²) at the true scores, where the mean loss is
// least: moving s2 either way along any of its parts raises it.
TEST(LikelihoodLoss, IsLeastAtTheTrueScores) {
  torch::manual_seed(42);
  constexpr int64_t kSamples = 200000;
  const auto options = at::TensorOptions(at::kDouble);
  const at::Tensor variance = at::tensor({0.1, 1.0, 5.0}, options);
  const at::Tensor sigma = at::full({kSamples}, 0.7, options),
                   z = at::randn({kSamples, 3}, options);
  const at::Tensor x = at::randn({kSamples, 3}, options) * variance.sqrt() + 0.7 * z;
  const at::Tensor precision = 1 / (variance + 0.49), s1 = -precision * x;
  const auto mean_loss = [&](const at::Tensor& factor) {
    const at::Tensor c = (1 - 0.49 * precision) * factor;  // 0: no uncertainty left
    return likelihood_loss(s1,
                           SymmetricOperator::from_diagonal(((c - 1) / 0.49).expand({kSamples, 3})),
                           z, sigma)
        .mean()
        .item<double>();
  };
  const double least = mean_loss(at::ones({3}, options));
  // ½ (t − 1 − ln t) > 0 a coordinate, 0.0047 at t = 0.9 and 0.0044 at 1.1; its standard error,
  // ½ |1/t − 1| √2/√N, is 0.0002.
  for (int64_t i = 0; i < 3; ++i) {
    for (const double t : {0.9, 1.1}) {
      at::Tensor factor = at::ones({3}, options);
      factor[i] = t;
      EXPECT_GT(mean_loss(factor), least + 0.002) << i << " " << t;
    }
  }
}

TEST(LikelihoodLoss, RefusesWhatIsNotPositiveDefinite) {
  Inputs in = make_inputs(0.1);
  in.a.select(0, 2).select(0, 1).fill_(-100);
  for (const auto& s2 :
       {SymmetricOperator::from_diagonal(in.a),
        SymmetricOperator::from_dense(SymmetricOperator::from_diagonal(in.a).dense())}) {
    std::string message;
    try {
      likelihood_loss(in.s1, s2, in.z, in.sigma);
    } catch (const std::domain_error& error) {
      message = error.what();
    }
    EXPECT_NE(message.find("row 2"), std::string::npos) << message;
  }
  EXPECT_THROW(likelihood_loss(in.s1, SymmetricOperator::from_diagonal(in.a.narrow(1, 0, 3)), in.z,
                               in.sigma),
               std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::objectives
