// Cumulants along a direction and the density they imply, against a mixture's exact posterior.
#include "scorejet/marginal.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/utils.h>

#include <cmath>
#include <functional>
#include <numbers>
#include <string>
#include <vector>

#include "scorejet/gaussian_mixture.h"
#include "tests/models/small_model.h"

namespace scorejet::posterior {
namespace {

double largest_entry(const at::Tensor& difference) { return difference.abs().max().item<double>(); }

// A mixture of Gaussians on the line.
struct LineMixture {
  std::vector<double> weights, means, variances;

  std::vector<double> cumulants() const {
    double mean = 0, m2 = 0, m3 = 0, m4 = 0;
    for (size_t k = 0; k < weights.size(); ++k) mean += weights[k] * means[k];
    for (size_t k = 0; k < weights.size(); ++k) {
      const double d = means[k] - mean, v = variances[k];
      m2 += weights[k] * (d * d + v);
      m3 += weights[k] * (d * d * d + 3 * d * v);
      m4 += weights[k] * (d * d * d * d + 6 * d * d * v + 3 * v * v);
    }
    return {mean, m2, m3, m4 - 3 * m2 * m2};
  }
  double quantile(double p) const {
    double low = -100, high = 100;
    for (int i = 0; i < 80; ++i) {
      const double t = 0.5 * (low + high);
      double cdf = 0;
      for (size_t k = 0; k < weights.size(); ++k) {
        cdf += 0.5 * weights[k] * std::erfc((means[k] - t) / std::sqrt(2 * variances[k]));
      }
      (cdf < p ? low : high) = t;
    }
    return 0.5 * (low + high);
  }
};

// The prior Σ w_k N(m_k, C_k), and its exact posterior along v given x̃: a mixture again.
struct Prior {
  at::Tensor weights, means, covariances;

  distributions::GaussianMixture field() const { return {weights, means, covariances}; }
  LineMixture posterior(const at::Tensor& x, double sigma, const at::Tensor& v) const {
    LineMixture line;
    std::vector<double> log_weights;
    const at::Tensor noise = sigma * sigma * at::eye(x.size(0), at::kDouble);
    for (int64_t k = 0; k < weights.size(0); ++k) {
      const at::Tensor total = covariances[k] + noise, error = x - means[k];
      const at::Tensor gain = at::matmul(covariances[k], at::linalg_inv(total));
      const at::Tensor distance = at::dot(error, at::mv(at::linalg_inv(total), error));
      log_weights.push_back(
          (weights[k].log() - 0.5 * (distance + at::logdet(total))).item<double>());
      line.means.push_back(at::dot(v, means[k] + at::mv(gain, error)).item<double>());
      line.variances.push_back(
          at::dot(v, at::mv(covariances[k] - at::matmul(gain, covariances[k]), v)).item<double>());
    }
    double sum = 0;
    for (double value : log_weights) sum += std::exp(value - log_weights[0]);
    for (double value : log_weights) line.weights.push_back(std::exp(value - log_weights[0]) / sum);
    return line;
  }
};

Prior random_prior(int64_t dim) {
  torch::manual_seed(101);
  const at::Tensor root =
      at::randn({3, dim, dim}, at::kDouble) / std::sqrt(2.0 * static_cast<double>(dim));
  return {at::tensor({0.2, 0.5, 0.3}, at::kDouble), at::randn({3, dim}, at::kDouble),
          root.matmul(root.transpose(1, 2))};
}

// Only the first `order` orders of another field.
class UpTo : public score::ScoreField {
 public:
  UpTo(const score::ScoreField& field, int order) : field_(field), order_(order) {}
  int64_t dim() const override { return field_.dim(); }
  int max_order() const override { return order_; }
  score::Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const override {
    return field_.evaluate(x, sigma, order);
  }

 private:
  const score::ScoreField& field_;
  int order_;
};

TEST(DirectionalCumulants, AreThoseOfTheExactPosterior) {
  const Prior prior = random_prior(4);
  const distributions::GaussianMixture mixture = prior.field();
  const at::Tensor x = at::randn({6, 4}, at::kDouble);
  at::Tensor v = at::randn({6, 4}, at::kDouble);
  v = v / v.square().sum(1, true).sqrt();
  at::NoGradGuard no_grad;  // a caller without autograd gets the same
  for (double sigma : {0.3, 1.0}) {
    std::vector<at::Tensor> rows;
    for (int64_t i = 0; i < 6; ++i) {
      rows.push_back(at::tensor(prior.posterior(x[i], sigma, v[i]).cumulants(), at::kDouble));
    }
    const at::Tensor exact = at::stack(rows);
    const at::Tensor sd = exact.select(1, 1).sqrt().unsqueeze(1);
    const at::Tensor size = sd.pow(at::arange(1, 5, at::kDouble));
    const at::Tensor level = at::full({}, sigma, at::kDouble);
    for (int order : {1, 2, 3}) {
      const UpTo field(mixture, order);
      const at::Tensor found = directional_cumulants(field, x, level, v);
      EXPECT_LT(largest_entry((found - exact) / size), 1e-8) << sigma << " " << order;
      EXPECT_FALSE(found.requires_grad());
      EXPECT_LT(
          largest_entry((directional_cumulants(mixture, x, level, v, 4, order) - exact) / size),
          1e-8);
      for (int64_t count : {1, 2, 3}) {
        const at::Tensor few = directional_cumulants(field, x, level, v, count);
        EXPECT_LT(largest_entry(few - found.narrow(1, 0, count)), 1e-12);
      }
    }
    // v need not be of unit length: the j-th cumulant goes with its j-th power.
    EXPECT_TRUE(directional_cumulants(mixture, x, level, -2 * v)
                    .allclose(exact * at::tensor({-2.0, 4.0, -8.0, 16.0}, at::kDouble)));
  }
}

TEST(DirectionalCumulants, OfAGaussianEndAtTheSecond) {
  const distributions::GaussianMixture gaussian(at::ones({1}, at::kDouble),
                                                at::zeros({1, 2}, at::kDouble),
                                                at::eye(2, at::kDouble).unsqueeze(0));
  const at::Tensor x = at::ones({1, 2}, at::kDouble);
  const at::Tensor found = directional_cumulants(UpTo(gaussian, 1), x, at::ones({}), x);
  EXPECT_LT(largest_entry(found - at::tensor({1.0, 1.0, 0.0, 0.0}, at::kDouble)), 1e-12);
}

TEST(DirectionalCumulants, OfOnePixel) {
  const Prior prior = random_prior(1);
  const at::Tensor x = at::tensor({0.4}, at::kDouble), v = at::ones({1}, at::kDouble);
  const at::Tensor exact = at::tensor(prior.posterior(x, 0.7, v).cumulants(), at::kDouble);
  const distributions::GaussianMixture mixture = prior.field();
  for (int order : {1, 2, 3}) {
    const at::Tensor found = directional_cumulants(UpTo(mixture, order), x.unsqueeze(0),
                                                   at::full({}, 0.7, at::kDouble), v.unsqueeze(0));
    EXPECT_LT(largest_entry(found - exact), 1e-8) << order;
  }
}

// The j-th derivative along the line is the slope of the one before it: central differences.
TEST(DirectionalCumulants, DifferentiateTheNetworksThreeTimes) {
  torch::manual_seed(102);
  for (const char* kind : {"mlp", "unet"}) {
    const models::ScoreModel model(testing::small_options(kind), at::zeros({16}, at::kDouble),
                                   at::ones({16}, at::kDouble));
    testing::perturb(model, 0.2);
    at::NoGradGuard no_grad;
    model.network().to(at::kDouble);
    const at::Tensor x = at::randn({2, 16}, at::kDouble), v = at::randn({2, 16}, at::kDouble) / 4;
    const at::Tensor sigma = at::full({}, 0.5, at::kDouble);
    for (int64_t source : {1, 2}) {
      const double step = 1e-4;
      const auto along = [&](double t) {
        return directional_cumulants(model, x + t * v, sigma, v, 4, source);
      };
      const at::Tensor slopes = (along(step) - along(-step)) / (2 * step);
      const at::Tensor exact = along(0);
      for (int64_t j = source; j < 4; ++j) {
        const at::Tensor expected =
            0.25 * slopes.select(1, j - 1) -
            (j == 1 ? 0.25 * v.square().sum(1) : at::zeros({2}, at::kDouble));
        const at::Tensor found =
            exact.select(1, j) - (j == 1 ? 0.25 * v.square().sum(1) : at::zeros({2}, at::kDouble));
        EXPECT_GT(largest_entry(expected), 1e-8);
        // Truncation step² and rounding 1e-16/step.
        EXPECT_LT(largest_entry(found - expected), 1e-6 * largest_entry(expected))
            << kind << " " << source << j;
      }
    }
  }
}

TEST(DirectionalCumulants, RefuseBadInput) {
  const distributions::GaussianMixture mixture = random_prior(3).field();
  const at::Tensor x = at::zeros({2, 3}, at::kDouble), one = at::ones({}, at::kDouble);
  EXPECT_THROW(directional_cumulants(mixture, x.narrow(1, 0, 2), one, x), std::invalid_argument);
  EXPECT_THROW(directional_cumulants(mixture, x, one, x.narrow(0, 0, 1)), std::invalid_argument);
  EXPECT_THROW(directional_cumulants(mixture, x, one, x, 5), std::invalid_argument);
  EXPECT_THROW(directional_cumulants(mixture, x, one, x, 0), std::invalid_argument);
  EXPECT_THROW(directional_cumulants(mixture, x, one, x, 4, 0), std::invalid_argument);
  EXPECT_THROW(directional_cumulants(mixture, x, 0 * one, x), std::domain_error);
  EXPECT_THROW(directional_cumulants(mixture, x, one, x + NAN), std::domain_error);

  // Without graph, and with one that ends after the first derivative.
  struct Detached : score::ScoreField {
    int64_t dim() const override { return 3; }
    int max_order() const override { return 1; }
    score::Jet evaluate(const at::Tensor& x, const at::Tensor&, int) const override {
      return {x.detach().square()};
    }
  };
  struct Once : Detached {
    score::Jet evaluate(const at::Tensor& x, const at::Tensor&, int) const override {
      return {x * at::cdist(x.unsqueeze(1), at::ones({x.size(0), 1, 3}, x.options())).squeeze(1)};
    }
  };
  EXPECT_THROW(directional_cumulants(Detached(), x, one, x + 1), std::invalid_argument);
  EXPECT_NO_THROW(directional_cumulants(Once(), x, one, x + 1, 2));
  EXPECT_THROW(directional_cumulants(Once(), x, one, x + 1, 3), std::invalid_argument);
}

// Skewed, bimodal, both, and nearly Gaussian.
std::vector<LineMixture> shapes() {
  return {{{0.75, 0.25}, {0.0, 2.0}, {0.4, 1.0}},
          {{0.5, 0.5}, {-1.0, 1.0}, {0.15, 0.15}},
          {{0.3, 0.7}, {0.1, 0.5}, {0.004, 0.01}},
          {{0.5, 0.5}, {-0.1, 0.1}, {1.0, 1.0}}};
}

at::Tensor cumulants_of(const std::vector<LineMixture>& lines) {
  std::vector<at::Tensor> rows;
  for (const LineMixture& line : lines) rows.push_back(at::tensor(line.cumulants(), at::kDouble));
  return at::stack(rows);
}

TEST(MaximumEntropyDensity, IsNormalisedAndReproducesItsCumulants) {
  const at::Tensor target = cumulants_of(shapes());
  const at::Tensor sd = target.select(1, 1).sqrt().unsqueeze(1);
  for (int64_t count : {2, 3, 4}) {
    const MaximumEntropyDensity density(target.narrow(1, 0, count));
    EXPECT_TRUE(density.converged().all().item<bool>()) << density.residual();
    const at::Tensor size = sd.pow(at::arange(1, count + 1, at::kDouble));
    // For two the support cuts the Gaussian's tails, and the fit makes up for it.
    EXPECT_LT(largest_entry((density.cumulants().narrow(1, 0, count) - target.narrow(1, 0, count)) /
                            size),
              1e-8);
    // Gauss's rule of two nodes, independent of the quadrature inside: mass and moments.
    const int64_t panels = 20000;
    const at::Tensor pair = at::tensor({-0.5, 0.5}, at::kDouble) / std::numbers::sqrt3;
    const at::Tensor u =
        16 *
        (((at::arange(panels, at::kDouble) + 0.5).unsqueeze(1) + pair) / panels - 0.5).flatten();
    const at::Tensor t = target.select(1, 0).unsqueeze(1) + sd * u;
    const at::Tensor mass = density.pdf(t) * sd * (8.0 / panels);
    EXPECT_GE(mass.min().item<double>(), 0);
    EXPECT_LT(largest_entry(mass.sum(1) - 1), 1e-8);
    const at::Tensor standard = target / sd.pow(at::arange(1, 5, at::kDouble));
    const std::vector<at::Tensor> moments{at::zeros({4}, at::kDouble), at::ones({4}, at::kDouble),
                                          standard.select(1, 2), standard.select(1, 3) + 3};
    for (int64_t j = 1; j <= count; ++j) {
      const at::Tensor& moment = moments[static_cast<size_t>(j - 1)];
      EXPECT_LT(largest_entry((mass * u.pow(j)).sum(1) - moment), 1e-8) << count << " " << j;
    }
    EXPECT_LT(largest_entry(density.cdf(t) - (mass.cumsum(1) - 0.5 * mass)), 1e-4);
  }
}

TEST(MaximumEntropyDensity, OfGaussianCumulantsIsTheGaussian) {
  const at::Tensor target = at::tensor({0.3, 0.04, 0.0, 0.0}, at::kDouble).unsqueeze(0);
  const MaximumEntropyDensity density(target);
  const at::Tensor t = at::linspace(-0.5, 1.1, 50, at::kDouble).unsqueeze(0);
  const at::Tensor z = (t - 0.3) / 0.2;
  const at::Tensor exact = (-0.5 * z.square()).exp() / (0.2 * std::sqrt(2 * std::numbers::pi));
  EXPECT_LT(largest_entry(density.pdf(t) - exact), 1e-8);
  EXPECT_LT(largest_entry(density.cdf(t) - 0.5 * at::erfc(-z / std::numbers::sqrt2)), 1e-9);
  EXPECT_NEAR(density.quantile(at::tensor({0.975}, at::kDouble)).item<double>(),
              0.3 + 0.2 * 1.959963984540054, 1e-9);
}

TEST(MaximumEntropyDensity, QuantileInvertsTheDistribution) {
  const MaximumEntropyDensity density(cumulants_of(shapes()));
  const at::Tensor p = at::tensor({1e-6, 0.01, 0.25, 0.5, 0.9, 0.999}, at::kDouble);
  const at::Tensor t = density.quantile(p);
  EXPECT_LT(largest_entry(density.cdf(t) - p), 1e-12);
  const at::Tensor ends = density.quantile(at::tensor({0.0, 1.0}, at::kDouble));
  EXPECT_LT(largest_entry(density.cdf(ends) - at::tensor({0.0, 1.0}, at::kDouble)), 1e-12);
  EXPECT_EQ(largest_entry(density.pdf(ends + at::tensor({-0.1, 0.1}, at::kDouble))), 0);
  EXPECT_TRUE(density.cdf(t.select(1, 2)).allclose(at::full({4}, 0.25, at::kDouble)));
}

TEST(MaximumEntropyDensity, QuantilesAreCloserThanTheGaussians) {
  const std::vector<LineMixture> lines = shapes();
  const at::Tensor target = cumulants_of(lines);
  const at::Tensor p = at::linspace(0.01, 0.99, 99, at::kDouble);
  const at::Tensor found = MaximumEntropyDensity(target).quantile(p);
  const at::Tensor gaussian =
      target.select(1, 0).unsqueeze(1) +
      target.select(1, 1).sqrt().unsqueeze(1) * std::numbers::sqrt2 * at::erfinv(2 * p - 1);
  for (int64_t row = 0; row < 3; ++row) {  // the fourth is nearly Gaussian
    std::vector<double> exact;
    for (int64_t i = 0; i < 99; ++i) {
      exact.push_back(lines[static_cast<size_t>(row)].quantile(p[i].item<double>()));
    }
    const at::Tensor truth = at::tensor(exact, at::kDouble);
    const double error = (found[row] - truth).abs().mean().item<double>();
    const double gaussian_error = (gaussian[row] - truth).abs().mean().item<double>();
    EXPECT_LT(error, 0.5 * gaussian_error) << row;
    RecordProperty("ratio" + std::to_string(row), std::to_string(error / gaussian_error));
  }
}

// From the scores of a prior alone to the quantiles of its posterior.
TEST(MaximumEntropyDensity, OfABimodalPosterior) {
  const Prior prior{at::tensor({0.6, 0.4}, at::kDouble),
                    at::tensor({-1.0, 0.0, 0.0, 1.0, 0.2, 0.0}, at::kDouble).view({2, 3}),
                    at::tensor({0.05, 0.2, 0.1}, at::kDouble).diag().expand({2, 3, 3})};
  const at::Tensor x = at::tensor({0.1, 0.0, 0.0}, at::kDouble);
  const at::Tensor v = at::tensor({1.0, 0.0, 0.0}, at::kDouble);
  const LineMixture exact = prior.posterior(x, 1.0, v);
  const distributions::GaussianMixture mixture = prior.field();
  const MaximumEntropyDensity density(directional_cumulants(
      UpTo(mixture, 1), x.unsqueeze(0), at::ones({}, at::kDouble), v.unsqueeze(0)));
  EXPECT_TRUE(density.converged().item<bool>());
  // Two modes with a valley between them, where a Gaussian has its mode.
  const at::Tensor heights =
      density.pdf(at::tensor({exact.means[0], 0.0, exact.means[1]}, at::kDouble).unsqueeze(0))[0];
  EXPECT_LT(heights[1].item<double>(), 0.3 * heights[0].item<double>());
  EXPECT_LT(heights[1].item<double>(), 0.3 * heights[2].item<double>());
  const at::Tensor quantile = density.quantile(at::tensor({0.05, 0.3, 0.95}, at::kDouble))[0];
  EXPECT_NEAR(quantile[0].item<double>(), exact.quantile(0.05), 0.1);
  EXPECT_NEAR(quantile[1].item<double>(), exact.quantile(0.3), 0.1);
  EXPECT_NEAR(quantile[2].item<double>(), exact.quantile(0.95), 0.1);
}

TEST(MaximumEntropyDensity, KeepsToItsBounds) {
  const at::Tensor target = at::tensor({0.2, 0.02, 0.002}, at::kDouble).unsqueeze(0);
  const MaximumEntropyOptions pixels{.lower = at::zeros({}), .upper = at::ones({1})};
  const MaximumEntropyDensity density(target, pixels);
  EXPECT_TRUE(density.converged().item<bool>());
  const at::Tensor ends = density.quantile(at::tensor({0.0, 1.0}, at::kDouble));
  EXPECT_LT(largest_entry(ends - at::tensor({0.0, 1.0}, at::kDouble)), 1e-12);
  EXPECT_LT(largest_entry(density.cumulants().narrow(1, 0, 3) - target), 1e-10);
}

TEST(MaximumEntropyDensity, TellsTheHardFromTheImpossible) {
  const auto with = [](double skewness, double kurtosis) {
    return at::tensor({0.0, 1.0, skewness, kurtosis - 3}, at::kDouble).unsqueeze(0);
  };
  const auto message = [](const at::Tensor& cumulants, const MaximumEntropyOptions& options = {}) {
    try {
      MaximumEntropyDensity density(cumulants, options);
    } catch (const std::domain_error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  // Everything but the neighbourhood of the boundary is fitted.
  for (double skewness : {0.0, 0.5, 1.0, 2.0, -3.0}) {
    for (double above : {0.3, 1.0, 2.0, 5.0, 10.0}) {
      const MaximumEntropyDensity density(with(skewness, skewness * skewness + 1 + above));
      EXPECT_TRUE(density.converged().item<bool>())
          << skewness << " " << above << " " << density.residual();
    }
  }
  const MaximumEntropyDensity hard(with(1.0, 2 + 1e-7));  // two points, almost
  EXPECT_FALSE(hard.converged().item<bool>());
  EXPECT_GT(hard.residual().item<double>(), 1e-9);
  EXPECT_EQ(
      message(at::cat({with(0, 3), with(1, 1.5)})),
      "[posterior::MaximumEntropyDensity] cumulants must have a kurtosis above skewness² + 1 = "
      "2; got 1.5 at row 1");
  EXPECT_EQ(message(at::tensor({0.0, -1.0}, at::kDouble).unsqueeze(0)),
            "[posterior::MaximumEntropyDensity] cumulants must have a positive variance; got -1 at "
            "row 0");
  EXPECT_EQ(
      message(at::tensor({2.0, 1.0}, at::kDouble).unsqueeze(0), {.upper = at::ones({})}),
      "[posterior::MaximumEntropyDensity] cumulants must have a mean inside (-6, 1); got 2 at "
      "row 0");
  EXPECT_NE(message(at::tensor({0.5, 0.3}, at::kDouble).unsqueeze(0),
                    {.lower = at::zeros({}), .upper = at::ones({})}),
            "");                        // at most 1/4 on the unit interval
  EXPECT_NE(message(with(0, 70)), "");  // on eight standard deviations at most 64
  EXPECT_EQ(message(with(0, 70), {.half_width = 20}), "");
  EXPECT_NE(message(at::full({1, 3}, NAN, at::kDouble)), "");
  const at::Tensor mixed = at::cat({with(0, 3), with(1, 1.5), with(0, 70), with(0.5, 2)});
  EXPECT_TRUE(MaximumEntropyDensity::feasible(mixed).equal(
      at::tensor({1, 0, 0, 1}, at::kLong).to(at::kBool)));
}

TEST(MaximumEntropyDensity, RefusesBadInput) {
  EXPECT_THROW(MaximumEntropyDensity(at::ones({4})), std::invalid_argument);
  EXPECT_THROW(MaximumEntropyDensity(at::ones({2, 1})), std::invalid_argument);
  EXPECT_THROW(MaximumEntropyDensity(at::ones({2, 5})), std::invalid_argument);
  EXPECT_THROW(MaximumEntropyDensity(at::ones({2, 2}), {.half_width = 0}), std::domain_error);
  EXPECT_THROW(MaximumEntropyDensity(at::ones({2, 2}), {.lower = at::zeros({3})}),
               std::invalid_argument);
  const MaximumEntropyDensity density(at::ones({2, 2}));
  EXPECT_EQ(density.pdf(at::ones({2})).scalar_type(), at::kFloat);
  EXPECT_THROW(density.pdf(at::ones({3})), std::invalid_argument);
  EXPECT_THROW(density.cdf(at::ones({3, 2})), std::invalid_argument);
  EXPECT_THROW(density.quantile(at::tensor({1.5})), std::domain_error);
  EXPECT_THROW(density.quantile(at::tensor({NAN})), std::domain_error);
  EXPECT_THROW(density.quantile(at::ones({2, 2})), std::invalid_argument);
  EXPECT_EQ(MaximumEntropyDensity(at::ones({0, 4})).cumulants().size(0), 0);
}

}  // namespace
}  // namespace scorejet::posterior
