// What every density must do: its scores are the derivatives of its log-density, that is the
// logarithm of the convolution of what sample() draws with N(0, sigma² I) at every sigma, each row
// is computed by itself, and bad input is named. Each statistical bound is tried on draws that must
// break it.
#include "tests/distributions/conformance.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "src/base/seed.h"
#include "tests/distributions/autodiff_jet.h"
#include "tests/expect_error.h"

namespace scorejet::distributions {
namespace {

const at::TensorOptions kExact = at::TensorOptions(at::kDouble);

at::Tensor scalar(double value) { return at::full({}, value, kExact); }

// One entry of densities_under_test() by its place in it.
class Conformance : public ::testing::TestWithParam<size_t> {
 protected:
  const Density& entry = densities_under_test()[GetParam()];
  const std::unique_ptr<Distribution> p = entry.make();

  at::Generator random(const char* stream) const { return base::make_generator(11, stream); }
  bool has_clean_score() const {
    try {
      p->evaluate(at::zeros({1, p->dim()}, kExact), 0.0, 1);
    } catch (const std::domain_error&) {
      return false;
    }
    return true;
  }
  std::vector<double> levels() const {
    std::vector<double> all{0.01, 0.1, 0.5, 2};
    if (has_clean_score()) all.push_back(0);
    return all;
  }
  // So many that their dense third-order scores are no larger than 16 MB.
  int64_t rows(int64_t most) const {
    return std::min(most, std::max<int64_t>(2, 2000000 / (p->dim() * p->dim() * p->dim())));
  }
  // Draws, and as many points anywhere in a cube of side 10.
  at::Tensor points(int64_t most) const {
    const int64_t half = rows(most) / 2;
    const at::Tensor anywhere = at::rand({half, p->dim()}, random("anywhere"), kExact);
    return at::cat({p->sample(half, random("points")), 10 * anywhere - 5});
  }
  // The root of the variances' sum.
  double width() const {
    return std::sqrt(p->sample(10000, random("width")).var(0).sum().item<double>());
  }
};

INSTANTIATE_TEST_SUITE_P(All, Conformance,
                         ::testing::Range<size_t>(0, densities_under_test().size()),
                         [](const auto& info) {
                           std::string name = densities_under_test()[info.param].name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// ---- its scores

TEST_P(Conformance, EveryOrderEqualsAutodiffOfTheLogDensity) {
  EXPECT_EQ(p->dim(), entry.dim);
  const at::Tensor x = points(32);
  for (const double sigma : levels()) {
    SCOPED_TRACE(sigma);
    const auto jet = p->evaluate(x, sigma, 3);
    // Along a direction v: three backward passes, however many dimensions.
    for (int i = 0; i < 3; ++i) {
      const at::Tensor v = at::randn(x.sizes(), random("directions"), kExact);
      const at::Tensor leaf = x.clone().requires_grad_();
      const auto gradient = [&](const at::Tensor& y) {
        return torch::autograd::grad({y.sum()}, {leaf}, {}, true, true)[0];
      };
      const at::Tensor s1 = gradient(p->log_density(leaf, scalar(sigma)));
      const at::Tensor s2v = gradient(s1 * v), s3vv = gradient(s2v * v);
      const auto gap = [&](const at::Tensor& found, const at::Tensor& expected, int order) {
        const at::Tensor power =
            s1.abs().amax(1, true).pow(order) * v.abs().amax(1, true).pow(order - 1);
        const at::Tensor scale = 1 + expected.abs().amax(1, true) + 1e-5 * power;
        return ((found - expected).abs() / scale).max().item<double>();
      };
      EXPECT_LT(gap(jet.s1, s1, 1), 1e-8);
      EXPECT_LT(gap(jet.s2->apply(v), s2v, 2), 1e-8);
      EXPECT_LT(gap(jet.s3->apply(v), s3vv, 3), 1e-8);
    }
  }
  EXPECT_EQ(p->max_order(), 3);
  EXPECT_EQ(p->evaluate(x, 0.1, 1).s2, std::nullopt);
  EXPECT_FALSE(p->evaluate(x, 0.1, 2).s3.has_value());
}

TEST_P(Conformance, NarrowNumbersAreComputedInWideOnes) {
  const at::Tensor x = points(32).to(at::kFloat), wide_x = x.to(at::kDouble);
  const auto narrow = p->evaluate(x, scalar(0.1), 3), wide = p->evaluate(wide_x, scalar(0.1), 3);
  EXPECT_EQ(narrow.s1.scalar_type(), at::kFloat);
  EXPECT_TRUE(narrow.s1.equal(wide.s1.to(at::kFloat)));
  // Parts are rounded, and dense() puts them together: within a few roundings of the largest.
  const auto close = [](const at::Tensor& a, const at::Tensor& b) {
    return ((a - b).abs().max() <= 3e-7 * b.abs().max()).item<bool>();
  };
  EXPECT_TRUE(close(narrow.s2->dense(), wide.s2->dense()));
  EXPECT_TRUE(close(narrow.s3->dense(), wide.s3->dense()));
  EXPECT_TRUE(
      p->log_density(x, scalar(0.1)).equal(p->log_density(wide_x, scalar(0.1)).to(at::kFloat)));
}

// Each row has its own sigma, and no row depends on which others are in the batch.
TEST_P(Conformance, RowsAreIndependent) {
  const int64_t size = rows(700);
  const at::Tensor x = p->sample(size, random("rows"));
  const at::Tensor sigma = 0.01 + at::rand({size}, random("levels"), kExact);
  const auto jet = p->evaluate(x, sigma, 3);
  const at::Tensor log_density = p->log_density(x, sigma);
  for (const int64_t i : {int64_t{0}, size / 2, size - 1}) {
    const at::Tensor row = x.narrow(0, i, 1), one = at::ones_like(row);
    const auto alone = p->evaluate(row, sigma[i], 3);
    EXPECT_LT((alone.s1[0] - jet.s1[i]).abs().max().item<double>(), 1e-9);
    EXPECT_LT((alone.s2->apply(one) - jet.s2->slice(i, 1).apply(one)).abs().max().item<double>(),
              1e-7);
    EXPECT_LT((alone.s3->apply(one) - jet.s3->slice(i, 1).apply(one)).abs().max().item<double>(),
              1e-6);
    EXPECT_NEAR(p->log_density(row, sigma[i]).item<double>(), log_density[i].item<double>(), 1e-9);
  }
  const at::Tensor none = x.narrow(0, 0, 0);
  const int64_t d = p->dim();
  EXPECT_EQ(p->evaluate(none, 0.1, 3).s3->dense().sizes(), (std::vector<int64_t>{0, d, d, d}));
  EXPECT_EQ(p->log_density(none, scalar(0.1)).size(0), 0);
}

// ---- its noise: p_sigma is what it was, blurred

// ∂ log p_sigma/∂ ln sigma = sigma² (tr s2 + |s1|²), the heat equation: integrated by Boole's rule
// it leads from the density at a small sigma to that at a large one.
TEST_P(Conformance, BlursAsHeatSpreads) {
  constexpr double kFirst = 0.1, kStep = 0.06;
  const at::Tensor clean = p->sample(4, random("heat"));
  const at::Tensor x = clean + kFirst * at::randn(clean.sizes(), random("heat noise"), kExact);
  const auto pieces =
      static_cast<int64_t>(std::ceil(std::log(std::max(width(), 1.0) / kFirst) / (4 * kStep)));
  at::Tensor integral = at::zeros({x.size(0)}, kExact);
  for (int64_t i = 0; i <= 4 * pieces; ++i) {
    const double sigma = kFirst * std::exp(kStep * static_cast<double>(i));
    const auto jet = p->evaluate(x, sigma, 2);
    const bool end = i == 0 || i == 4 * pieces;
    const double boole = end ? 7 : i % 2 == 1 ? 32 : i % 4 == 2 ? 12 : 14;
    integral = integral +
               2 * kStep / 45 * boole * sigma * sigma * (jet.s2->trace() + jet.s1.square().sum(1));
  }
  const double last = kFirst * std::exp(kStep * static_cast<double>(4 * pieces));
  const at::Tensor change = p->log_density(x, scalar(last)) - p->log_density(x, scalar(kFirst));
  const auto gap = [&](const at::Tensor& found) {
    return ((found - change).abs() / (1 + change.abs())).max().item<double>();
  };
  EXPECT_LT(gap(integral), 1e-5);
  EXPECT_GT(gap(1.001 * integral), 1e-4);
}

// Where sigma is about as large as the density is wide, its value at x is the mean of N(x; y,
// sigma² I) over draws y: with the heat equation, of a mass of one at every sigma. A bound of five
// standard errors at each of six points fails by chance once in 300,000 densities.
TEST_P(Conformance, IsTheMeanOverItsDraws) {
  const double sigma = 0.6 * width();
  const at::Tensor x = p->sample(6, random("centres"));
  const auto surprise = [&](const at::Tensor& draws) {  // the largest gap in standard errors
    const at::Tensor squares = at::cdist(x, draws).square();
    const at::Tensor log_normal =
        -0.5 * squares / (sigma * sigma) -
        0.5 * static_cast<double>(p->dim()) * std::log(2 * M_PI * sigma * sigma);
    const at::Tensor ratio = (log_normal - p->log_density(x, scalar(sigma)).unsqueeze(1)).exp();
    const at::Tensor error = ratio.std(1) / std::sqrt(static_cast<double>(draws.size(0)));
    return ((ratio.mean(1) - 1).abs() / error).max().item<double>();
  };
  const at::Tensor draws = p->sample(40000, random("draws"));
  EXPECT_LT(surprise(draws), 5);
  EXPECT_GT(surprise(1.1 * draws), 6);
}

// ---- its draws

// Stein's identities: E g u·s1 + u·∇g = 0 over draws with noise, for g = 1, u·s1 and sin(ω u·x),
// along random directions u, and E |s1|² + tr s2 = 0. The largest of 13 means in standard errors;
// five are passed by chance once in 130,000 calls.
double stein_surprise(const Distribution& p, const at::Tensor& draws, double sigma,
                      at::Generator random) {
  constexpr int64_t kChunkRows = 1000;
  const at::Tensor x = draws + sigma * at::randn(draws.sizes(), random, kExact);
  at::Tensor u = at::randn({p.dim(), 4}, random, kExact);
  u = u / u.norm(2, 0, true);
  const at::Tensor frequency = 1 / at::matmul(draws, u).std(0);
  std::vector<at::Tensor> parts;
  for (int64_t first = 0; first < x.size(0); first += kChunkRows) {
    const at::Tensor part = x.narrow(0, first, kChunkRows);
    const auto jet = p.evaluate(part, sigma, 2);
    const at::Tensor along = at::matmul(jet.s1, u), phase = at::matmul(part, u) * frequency;
    const at::Tensor axes = u.unsqueeze(0).expand({kChunkRows, -1, -1});
    const at::Tensor curvature = (axes * jet.s2->apply(axes)).sum(1);
    const at::Tensor whole = jet.s1.square().sum(1) + jet.s2->trace();
    parts.push_back(at::cat({along, along.square() + curvature,
                             along * phase.sin() + frequency * phase.cos(), whole.unsqueeze(1)},
                            1));
  }
  const at::Tensor all = at::cat(parts);
  const at::Tensor error = all.std(0) / std::sqrt(static_cast<double>(all.size(0)));
  return (all.mean(0).abs() / error).max().item<double>();
}

TEST_P(Conformance, DrawsObeySteinsIdentities) {
  const at::Tensor draws = p->sample(10000, random("stein"));
  for (const double sigma : {0.1, 0.5}) {
    SCOPED_TRACE(sigma);
    EXPECT_LT(stein_surprise(*p, draws, sigma, random("stein noise")), 5);
    EXPECT_GT(stein_surprise(*p, 1.2 * draws, sigma, random("stein noise")), 6);
    EXPECT_GT(stein_surprise(*p, draws + 0.1 * draws.std(0), sigma, random("stein noise")), 6);
  }
}

TEST_P(Conformance, DrawsAreAFunctionOfTheGeneratorAlone) {
  const at::Tensor x = p->sample(100, base::make_generator(7, "draws"));
  EXPECT_EQ(x.sizes(), (std::vector<int64_t>{100, p->dim()}));
  EXPECT_EQ(x.scalar_type(), at::kDouble);
  EXPECT_TRUE(x.equal(p->sample(100, base::make_generator(7, "draws"))));
  EXPECT_FALSE(x.equal(p->sample(100, base::make_generator(8, "draws"))));
  EXPECT_EQ(p->sample(0, base::make_generator(7, "draws")).sizes(),
            (std::vector<int64_t>{0, p->dim()}));
}

// ---- its errors

TEST_P(Conformance, BadInputIsNamed) {
  const int64_t d = p->dim();
  at::Tensor x = at::zeros({5, d}, kExact);
  const at::Tensor wide = at::zeros({5, d + 1}, kExact), whole = x.to(at::kLong);
  const std::string shape = fmt::format("x must have shape [any, {}]; got [5, {}]", d, d + 1);
  testing::expect_error<std::domain_error>([&] { p->evaluate(x, -0.1, 1); }, "sigma must be");
  testing::expect_error<std::domain_error>([&] { p->log_density(x, scalar(-0.1)); }, "got -0.1");
  testing::expect_error<std::domain_error>([&] { p->evaluate(x, NAN, 1); }, "sigma must be");
  testing::expect_error<std::invalid_argument>([&] { p->evaluate(x, at::ones({4}, kExact), 1); },
                                               "sigma must have shape [5]; got [4]");
  for (const int order : {0, 4}) {
    testing::expect_error<std::invalid_argument>([&] { p->evaluate(x, 0.1, order); },
                                                 "order must be 1, 2 or 3");
  }
  testing::expect_error<std::invalid_argument>([&] { p->evaluate(wide, 0.1, 1); }, shape);
  testing::expect_error<std::invalid_argument>([&] { p->log_density(wide, scalar(0.1)); }, shape);
  testing::expect_error<std::invalid_argument>([&] { p->evaluate(whole, scalar(1), 1); },
                                               "x must be float32 or float64");
  testing::expect_error<std::invalid_argument>([&] { p->log_density(whole, scalar(1)); },
                                               "x must be float32 or float64");
  x[3][d - 1] = NAN;
  testing::expect_error<std::domain_error>([&] { p->evaluate(x, 0.1, 1); }, "at row 3");
  testing::expect_error<std::domain_error>([&] { p->log_density(x, scalar(0.1)); }, "at row 3");
  if (!has_clean_score()) {
    x[3][d - 1] = 0;
    testing::expect_error<std::domain_error>([&] { p->evaluate(x, 0.0, 1); },
                                             "sigma must be positive; got 0");
    testing::expect_error<std::domain_error>([&] { p->log_density(x, scalar(0)); },
                                             "sigma must be positive");
  }
}

}  // namespace
}  // namespace scorejet::distributions
