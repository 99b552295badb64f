// Unadjusted kernels: Ozaki is exact on a Gaussian for every step size and structure, Langevin has
// the bias that theory gives it. What every kernel must do: conformance_test.cc.
#include "scorejet/kernel.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "scorejet/chains.h"
#include "src/sampling/noise.h"
#include "tests/sampling/two_modes.h"

namespace scorejet::sampling {
namespace {

using linalg::SymmetricOperator;

// log p = ½ xᵀ H x with one H for all rows, in the structure given.
class Quadratic : public score::ScoreField {
 public:
  explicit Quadratic(SymmetricOperator h) : h_(std::move(h)) {}
  int64_t dim() const override { return h_.dim(); }
  int max_order() const override { return 2; }
  using ScoreField::evaluate;
  score::Jet evaluate(const at::Tensor& x, const at::Tensor&, int) const override {
    const auto rows = [&](const at::Tensor& part) {
      std::vector<int64_t> shape = part.sizes().vec();
      shape[0] = x.size(0);
      return part.expand(shape);
    };
    const SymmetricOperator h =
        h_.structure() == linalg::Structure::kDense
            ? SymmetricOperator::from_dense(rows(h_.matrix()))
        : h_.structure() == linalg::Structure::kDiagonal
            ? SymmetricOperator::from_diagonal(rows(h_.diagonal_part()))
            : SymmetricOperator::from_low_rank(rows(h_.diagonal_part()), rows(h_.factor()));
    return {h.apply(x), h};
  }

 private:
  SymmetricOperator h_;
};

// −diag + small low rank (still negative definite).
SymmetricOperator low_rank_curvature() {
  torch::manual_seed(8);
  const at::Tensor a = -(2 + 3 * at::rand({1, 6}, at::kDouble));
  return SymmetricOperator::from_low_rank(a, 0.4 * at::randn({1, 6, 2}, at::kDouble));
}

at::Tensor one_step(const char* kernel_name, const score::ScoreField& field, const at::Tensor& x,
                    const KernelOptions& options, StepInfo* info = nullptr, uint64_t seed = 1) {
  const Kernel& kernel = find_kernel(kernel_name);
  const Target target = on(field, 0);
  const ChainState state = init(kernel, target, x);
  const at::Tensor step_size = at::full({x.size(0)}, options.step_size, x.options());
  const Step result = step(kernel, {target, state, step_size, Noise(seed, x.size(0), 1), options});
  if (info != nullptr) *info = result.info;
  return result.state.x;
}

// Five standard errors for each of 6 means and 36 covariances: false alarms below 3e-5.
void expect_gaussian(const at::Tensor& x, const at::Tensor& mean, const at::Tensor& covariance) {
  const auto count = static_cast<double>(x.size(0));
  const double bound = 5 / std::sqrt(count);
  const at::Tensor deviation = covariance.diagonal().sqrt();
  EXPECT_LT(((x.mean(0) - mean) / deviation).abs().max().item<double>(), bound);
  const at::Tensor centred = x - mean;
  const at::Tensor sample = centred.t().matmul(centred) / count;
  const at::Tensor scale = deviation.unsqueeze(1) * deviation.unsqueeze(0);
  EXPECT_LT(((sample - covariance) / scale).abs().max().item<double>(), bound * std::sqrt(2.0));
  EXPECT_GT(((1.1 * sample - covariance) / scale).abs().max().item<double>(),
            bound * std::sqrt(2.0))
      << "a biased control must fail";
}

TEST(Ozaki, OneStepOnGaussianIsExact) {
  constexpr int64_t kChains = 40000;
  const SymmetricOperator curvature = low_rank_curvature();
  const Quadratic dense(SymmetricOperator::from_dense(curvature.dense())), low(curvature),
      diagonal(SymmetricOperator::from_diagonal(curvature.diagonal()));
  const at::Tensor x0 = at::ones({6}, at::kDouble);
  const at::Tensor x = x0.expand({kChains, 6}).contiguous();
  for (double epsilon : {1e-6, 1e-2, 1.0, 10.0}) {
    // Ornstein-Uhlenbeck dX = H X dt + √2 dW: mean e^{εH} x, covariance (e^{2εH} − I) H⁻¹.
    const auto exact = [&](const at::Tensor& h) {
      const auto [lambda, q] = at::linalg_eigh(h);
      const auto function = [&, q = q](const at::Tensor& f) { return (q * f).matmul(q.t()); };
      return std::pair(function((epsilon * lambda).exp()).matmul(x0),
                       function(at::expm1(2 * epsilon * lambda) / lambda));
    };
    const KernelOptions options{.step_size = epsilon, .values = {{"tolerance", 1e-9}}};
    const auto [mean, covariance] = exact(curvature.dense()[0]);
    const at::Tensor by_dense = one_step("ozaki", dense, x, options);
    const at::Tensor by_low_rank = one_step("ozaki", low, x, options);
    expect_gaussian(by_dense, mean, covariance);
    EXPECT_LT((by_dense - by_low_rank).abs().max().item<double>(), 1e-6);
    const auto [mean_1, covariance_1] = exact(curvature.diagonal()[0].diag());
    const at::Tensor by_diagonal = one_step("ozaki", diagonal, x, options);
    expect_gaussian(by_diagonal, mean_1, covariance_1);
    EXPECT_TRUE(at::equal(by_diagonal, one_step("ozaki-diagonal", diagonal, x, options)));
    // The whole curvature's diagonal alone: another transition, unless ε is tiny.
    const at::Tensor other = one_step("ozaki-diagonal", dense, x, options);
    EXPECT_EQ((other - by_dense).abs().max().item<double>() > 1e-3, epsilon > 1e-3);
  }
}

TEST(Ozaki, TendsToLangevinAndReportsItsBound) {
  const Quadratic field(low_rank_curvature());
  const at::Tensor x = at::randn({4, 6}, at::kDouble);
  const KernelOptions tiny{.step_size = 1e-8};
  const KernelOptions tight{.step_size = 1e-8, .values = {{"tolerance", 1e-10}}};
  const at::Tensor difference =
      one_step("ozaki", field, x, tight) - one_step("langevin", field, x, tiny);
  EXPECT_LT(difference.abs().max().item<double>(), 1e-10);  // O(ε^{3/2})
  const Quadratic positive(SymmetricOperator::from_diagonal(at::full({1, 6}, 50.0, at::kDouble)));
  StepInfo info;
  const at::Tensor next = one_step("ozaki", positive, x, {.step_size = 1.0}, &info);
  EXPECT_TRUE(info.bounded.all().item<bool>());
  EXPECT_TRUE(at::isfinite(next).all().item<bool>());
  EXPECT_THROW(find_kernel("ozaky"), std::invalid_argument);
}

TEST(Langevin, HasTheBiasOfItsStepSize) {
  // On N(0, 1/λ) Langevin's own variance is 1/(λ (1 − ελ/2)).
  const at::Tensor lambda = at::tensor({0.5, 1.0, 4.0}, at::kDouble);
  const Quadratic field(SymmetricOperator::from_diagonal(-lambda.unsqueeze(0)));
  constexpr int64_t kChains = 20000;
  const double epsilon = 0.3;
  const at::Tensor x0 = at::randn({kChains, 3}, at::kDouble) / lambda.sqrt();
  const ChainResult result = run_chains(on(field, 0), find_kernel("langevin"), x0,
                                        {.step_size = epsilon}, {.num_steps = 60, .thin = 60});
  const at::Tensor expected = 1 / (lambda * (1 - epsilon * lambda / 2));
  const at::Tensor found = result.positions.select(1, 1).var(0);
  const double bound = 5 * std::sqrt(2.0 / double{kChains});
  EXPECT_LT((found / expected - 1).abs().max().item<double>(), bound);
  EXPECT_GT((found * lambda - 1).abs().max().item<double>(), bound) << "there is a bias to find";
}

TEST(Noise, IsNormalUniformAndItsOwn) {
  const Noise noise(3, 200, 7);
  const at::Tensor z = noise.normal(501, at::kDouble);  // odd: half a pair is left over
  const double n = static_cast<double>(z.numel());
  EXPECT_LT(std::abs(z.mean().item<double>()), 5 / std::sqrt(n));
  EXPECT_LT(std::abs(z.square().mean().item<double>() - 1), 5 * std::sqrt(2 / n));
  EXPECT_LT(std::abs(z.pow(4).mean().item<double>() - 3), 5 * std::sqrt(96 / n));
  // Pairs that are neighbours in a row, in chains and in steps are uncorrelated.
  const at::Tensor next = Noise(3, 200, 8).normal(501, at::kDouble);
  for (const at::Tensor& product :
       {z.slice(1, 1) * z.slice(1, 0, 500), z.slice(0, 1) * z.slice(0, 0, 199), z * next}) {
    EXPECT_LT(std::abs(product.mean().item<double>()), 5 / std::sqrt(n - 1000));
  }
  EXPECT_TRUE(at::equal(Noise(3, 50, 7).normal(501, at::kDouble), z.narrow(0, 0, 50)));
  EXPECT_FALSE(at::equal(Noise(4, 200, 7).normal(501, at::kDouble), z));
  const at::Tensor u = Noise(3, 20000, 7).uniform(0, at::kDouble);
  EXPECT_LT(std::abs(u.mean().item<double>() - 0.5), 5 / std::sqrt(12 * 20000.0));
  EXPECT_GT(u.min().item<double>(), 0);
  EXPECT_FALSE(at::equal(u, Noise(3, 20000, 7).uniform(1, at::kDouble)));
}

// The scores of a density whose log p is not known.
class ScoresAlone : public score::ScoreField {
 public:
  int64_t dim() const override { return 2; }
  int max_order() const override { return 3; }
  using ScoreField::evaluate;
  score::Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const override {
    return density_.evaluate(x, sigma, order);
  }

 private:
  distributions::GaussianMixture density_ = two_modes();
};

TEST(Kernels, RefuseWhatTheyCannotDo) {
  const ScoresAlone scores;
  const Target target = on(scores, 0.1);
  const at::Tensor x0 = at::randn({5, 2}, at::kDouble);
  const Kernel& langevin = find_kernel("langevin");
  at::Tensor bad = x0.clone();
  bad[3][0] = std::nan("");
  EXPECT_THROW(run_chains(target, langevin, bad, {}, {}), std::domain_error);
  EXPECT_THROW(run_chains(target, langevin, x0, {.step_size = -1}, {}), std::domain_error);
  EXPECT_THROW(run_chains(target, langevin, x0, {}, {.thin = 0}), std::invalid_argument);
  EXPECT_THROW(run_chains(target, langevin, x0.narrow(1, 0, 1), {}, {}), std::invalid_argument);
  EXPECT_THROW(run_chains(target, find_kernel("mala"), x0, {}, {}), std::invalid_argument)
      << "no log p";
  EXPECT_THROW(scores.log_density(x0, at::full({}, 0.1, at::kDouble)), std::invalid_argument);
  EXPECT_THROW(default_step_size(langevin, 0), std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::sampling
