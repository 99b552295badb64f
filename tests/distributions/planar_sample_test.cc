// Samples of the densities of the plane against their densities, and the densities' mass.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "scorejet/distribution.h"
#include "src/base/seed.h"
#include "tests/distributions/planar_names.h"

namespace scorejet::distributions {
namespace {

const at::TensorOptions kSampleDouble = at::TensorOptions(at::kDouble);
constexpr double kSigma = 0.1;

at::Tensor sample_level() { return at::full({}, kSigma, kSampleDouble); }

// p_sigma on the grid x × y, [nx, ny].
at::Tensor on_grid(const Distribution& p, const at::Tensor& x, const at::Tensor& y) {
  const at::Tensor points = at::stack(at::meshgrid({x, y}, "ij"), 2).view({-1, 2});
  return p.log_density(points, sample_level()).exp().view({x.size(0), y.size(0)});
}

// Samples with noise in square cells of [-4, 4]² against the integral of p_sigma over each cell
// (Simpson's rule, 8 intervals a side). What falls outside, or into a cell that expects fewer than
// 5, is one cell more.
class Cells {
 public:
  explicit Cells(const Distribution& p) {
    at::Tensor weight = at::zeros({kCells * kFine + 1, kCells}, kSampleDouble);
    for (int64_t i = 0; i < kCells; ++i) {
      for (int64_t j = 0; j <= kFine; ++j) {
        const double simpson = j == 0 || j == kFine ? 1 : (j % 2 ? 4 : 2);
        weight[i * kFine + j][i] = simpson * kSide / kFine / 3;
      }
    }
    const at::Tensor t = at::linspace(-4, 4, kCells * kFine + 1, kSampleDouble);
    probability_ = at::matmul(at::matmul(weight.t(), on_grid(p, t, t)), weight).view(-1);
  }

  // (χ² − its critical value at a false-alarm rate of 1e-6) / critical value, for points [N, 2].
  double excess(const at::Tensor& points) const {
    const auto count = static_cast<double>(points.size(0));
    const at::Tensor index = ((points + 4) / kSide).floor().to(at::kLong);
    const at::Tensor inside = at::logical_and(index >= 0, index < kCells).all(1);
    const at::Tensor flat =
        (index.select(1, 0) * kCells + index.select(1, 1)).masked_select(inside);
    const at::Tensor found = at::bincount(flat, {}, kCells * kCells).to(at::kDouble);
    const at::Tensor expected = count * probability_;
    const at::Tensor kept = expected >= 5;
    const at::Tensor e = expected.masked_select(kept), f = found.masked_select(kept);
    const double rest = count - e.sum().item<double>(), rest_found = count - f.sum().item<double>();
    double chi = ((f - e).square() / e).sum().item<double>();
    auto degrees = static_cast<double>(e.numel() - 1);
    if (rest >= 5) {
      chi += (rest_found - rest) * (rest_found - rest) / rest;
      degrees += 1;
    }
    // Wilson and Hilferty (1931), 4.753 the normal law's 1 − 1e-6 quantile.
    const double a = 2 / (9 * degrees);
    const double critical = degrees * std::pow(1 - a + 4.753 * std::sqrt(a), 3);
    return chi / critical - 1;
  }

 private:
  static constexpr int64_t kCells = 20, kFine = 8;
  static constexpr double kSide = 8.0 / kCells;
  at::Tensor probability_;
};

class PlanarSamples : public ::testing::TestWithParam<std::string> {
 protected:
  const std::unique_ptr<Distribution> p = make_density(GetParam());
};

INSTANTIATE_TEST_SUITE_P(All, PlanarSamples, ::testing::ValuesIn(testing::planar_names()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(PlanarSamples, FollowTheNoisyDensity) {
  const Cells cells(*p);
  const auto noisy = [&](uint64_t seed) {
    const at::Tensor x = p->sample(40000, base::make_generator(seed, "planar", 0));
    return x +
           kSigma * at::randn(x.sizes(), base::make_generator(seed, "planar", 1), kSampleDouble);
  };
  for (const uint64_t seed : {1, 2, 3}) EXPECT_LT(cells.excess(noisy(seed)), 0) << seed;
  // Controls that must fail: a tenth larger, and slightly displaced.
  EXPECT_GT(cells.excess(1.1 * noisy(1)), 0.2);
  EXPECT_GT(cells.excess(noisy(1) + 0.05), 0.2);
}

// The trapezoid rule, whose error is far below 1e-8 for these steps. The funnel's mouth is wide:
// there y = sinh(z)/5, z uniform.
TEST_P(PlanarSamples, MassIsOne) {
  const auto steps = [](double first, double last, double step) {
    return step * at::arange(std::round(first / step), std::round(last / step) + 1, kSampleDouble);
  };
  at::Tensor x = steps(-6.5, 6.5, 0.1), y = x, weight = at::full_like(y, 0.01);
  if (GetParam() == "banana") {
    x = steps(-12, 12, 0.1), y = steps(-8, 75, 0.5), weight = at::full_like(y, 0.05);
  } else if (GetParam() == "funnel") {
    const at::Tensor z = steps(-13, 13, 0.15);
    x = steps(-19, 19, 0.5), y = 0.2 * z.sinh(), weight = 0.5 * 0.15 * 0.2 * z.cosh();
  }
  EXPECT_NEAR((on_grid(*p, x, y) * weight).sum().item<double>(), 1, 1e-8);
}

}  // namespace
}  // namespace scorejet::distributions
