// The densities of the plane against integrals written down from their definitions, and their jets
// against automatic differentiation.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "scorejet/distribution.h"
#include "scorejet/gaussian_mixture.h"
#include "src/base/seed.h"
#include "src/distributions/blurred_curve.h"
#include "src/distributions/conditional_gaussian.h"
#include "tests/distributions/autodiff_jet.h"
#include "tests/distributions/planar_names.h"
#include "tests/expect_error.h"

namespace scorejet::distributions {
namespace {

using testing::autodiff_jet;
using testing::jet_gaps;

const at::TensorOptions kDouble = at::TensorOptions(at::kDouble);
const std::vector<double> kLevels{0.0, 0.01, 0.1, 0.5, 2.0};

at::Tensor level(double sigma) { return at::full({}, sigma, kDouble); }

// 20 samples, and 12 points anywhere in a square of side 10.
at::Tensor test_points(const Distribution& p) {
  at::Generator random = base::make_generator(1, "planar");
  return at::cat({p.sample(20, random), 10 * at::rand({12, 2}, random, kDouble) - 5});
}

// ---- p_sigma from the definitions, in plain numbers

double normal_density(double x, double variance) {
  return std::exp(-0.5 * x * x / variance) / std::sqrt(2 * M_PI * variance);
}

// ∫ f by the tanh-sinh rule (Takahasi & Mori 1974): exact to rounding for analytic f, however fast
// it falls off from an end.
double integral(double first, double last, const std::function<double(double)>& f) {
  constexpr int kHalf = 4000;
  constexpr double kStep = 4.0 / kHalf;
  double sum = 0;
  for (int i = -kHalf; i <= kHalf; ++i) {
    const double s = i * kStep, inner = M_PI / 2 * std::sinh(s);
    const double weight = M_PI / 2 * std::cosh(s) / (std::cosh(inner) * std::cosh(inner));
    // The distance from the nearer end, without cancellation.
    const double from_end = (last - first) / (1 + std::exp(2 * std::abs(inner)));
    sum += weight * f(i < 0 ? first + from_end : last - from_end);
  }
  return 0.5 * (last - first) * kStep * sum;
}

double density(const std::string& name, double x, double y, double sigma) {
  const auto blurred = [&](double noise) {
    return [x, y, variance = noise * noise + sigma * sigma](double cx, double cy) {
      const double square = (x - cx) * (x - cx) + (y - cy) * (y - cy);
      return std::exp(-0.5 * square / variance) / (2 * M_PI * variance);
    };
  };
  if (name == "eight-gaussians") {
    double sum = 0;
    for (int k = 0; k < 8; ++k) {
      sum += blurred(std::sqrt(0.125))(std::sqrt(8.0) * std::cos(k * M_PI / 4),
                                       std::sqrt(8.0) * std::sin(k * M_PI / 4)) /
             8;
    }
    return sum;
  }
  if (name == "two-moons") {
    return integral(0, M_PI, [&, at = blurred(0.2)](double t) {
      const double c = 2 * std::cos(t), s = 2 * std::sin(t);
      return (at(c - 1, s - 0.2) + at(1 - c, 0.8 - s)) / (2 * M_PI);
    });
  }
  if (name == "swiss-roll") {
    return integral(1.5 * M_PI, 4.5 * M_PI, [&, at = blurred(0.2)](double t) {
      return at(t * std::cos(t) / 5, t * std::sin(t) / 5) / (3 * M_PI);
    });
  }
  if (name == "pinwheel") {
    return integral(-0.5, 2.5, [&, at = blurred(0.2)](double r) {
      double sum = 0;
      for (int k = 0; k < 5; ++k) {
        const double angle = 2 * M_PI * k / 5 + std::exp(r) / 4;
        sum += at(2 * r * std::cos(angle), 2 * r * std::sin(angle)) / 5;
      }
      return sum * normal_density(r - 1, 0.09) / std::erf(5 / std::sqrt(2.0));
    });
  }
  if (name == "rings") {  // exactly: the angle's integral is the Bessel function I_0
    double sum = 0;
    const double variance = 0.0064 + sigma * sigma, norm = std::hypot(x, y);
    for (const double radius : {0.75, 1.5, 2.25, 3.0}) {
      const double z = norm * radius / variance, apart = norm - radius;
      const double bessel =
          at::special_i0e(at::full({}, z, kDouble)).item<double>();  // e^-z I_0(z)
      sum += 0.25 * bessel * std::exp(-0.5 * apart * apart / variance) / (2 * M_PI * variance);
    }
    return sum;
  }
  if (name == "checkerboard") {
    const auto box = [&](double t, int i) {  // column or row i starts at 2i − 4
      const double z = (t - 2 * i + 4) / sigma / std::sqrt(2.0);
      const double w = 2 / sigma / std::sqrt(2.0);
      return z < 0.5 * w ? 0.25 * (std::erfc(-z) - std::erfc(w - z))
                         : 0.25 * (std::erfc(z - w) - std::erfc(z));
    };
    double sum = 0;
    for (int i = 0; i < 4; ++i) {
      for (int j = 0; j < 4; ++j) sum += (i + j) % 2 == 0 ? box(x, i) * box(y, j) / 8 : 0;
    }
    return sum;
  }
  const bool funnel = name == "funnel";
  if (!funnel && name != "banana") ADD_FAILURE() << name << " needs its definition here";
  const double spread = funnel ? 3 : 2;
  const auto joint = [&](double u) {
    const double mean = funnel ? 0 : 0.5 * (u * u - 4);
    const double variance = (funnel ? std::exp(u) : 1) + sigma * sigma;
    return normal_density(u, spread * spread) * normal_density(y - mean, variance);
  };
  if (sigma == 0) return joint(x);
  const double reach = std::max(3.0, 12 * sigma);
  return integral(x - reach, x + reach,
                  [&](double u) { return joint(u) * normal_density(u - x, sigma * sigma); });
}

class Planar : public ::testing::TestWithParam<std::string> {
 protected:
  const std::unique_ptr<Distribution> p = make_density(GetParam());
  bool has_clean_score() const { return GetParam() != "checkerboard"; }
};

INSTANTIATE_TEST_SUITE_P(All, Planar, ::testing::ValuesIn(testing::planar_names()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(Planar, EveryOrderEqualsAutodiffOfTheLogDensity) {
  const at::Tensor x = test_points(*p);
  for (const double sigma : kLevels) {
    if (sigma == 0 && !has_clean_score()) continue;
    const auto jet = p->evaluate(x, sigma, 3);
    const auto expected = autodiff_jet(*p, x, sigma);
    const auto gaps = jet_gaps(jet, expected);
    for (size_t n = 0; n < 3; ++n) {
      EXPECT_LT(gaps[n], 1e-8) << "order " << n + 1 << " at sigma " << sigma;
    }
    const at::Tensor rounded = x.to(at::kFloat);  // the arithmetic is float64 all the same
    const auto narrow = p->evaluate(rounded, level(sigma), 3);
    const auto wide = p->evaluate(rounded.to(at::kDouble), level(sigma), 3);
    EXPECT_TRUE(narrow.s3->dense().equal(wide.s3->dense().to(at::kFloat))) << sigma;
    EXPECT_EQ(p->evaluate(x, sigma, 1).s2, std::nullopt);
  }
}

TEST_P(Planar, NoisyDensityEqualsItsDefinition) {
  const at::Tensor x = test_points(*p);
  for (const double sigma : kLevels) {
    if (sigma == 0 && !has_clean_score()) continue;
    const at::Tensor log_density = p->log_density(x, level(sigma));
    double worst = 0;
    for (int64_t i = 0; i < x.size(0); ++i) {
      const double truth =
          density(GetParam(), x[i][0].item<double>(), x[i][1].item<double>(), sigma);
      if (truth > 1e-290) {
        worst = std::max(worst, std::abs(log_density[i].item<double>() - std::log(truth)));
      }
    }
    EXPECT_LT(worst, 1e-9) << sigma;
  }
}

// Twice the nodes change nothing, within the distance that the headers promise.
TEST(PlanarNodes, AreConverged) {
  using Pair = std::pair<std::unique_ptr<Distribution>, std::unique_ptr<Distribution>>;
  std::vector<Pair> pairs;
  pairs.emplace_back(two_moons(), two_moons(0.2, 2));
  pairs.emplace_back(swiss_roll(), swiss_roll(0.2, 2));
  pairs.emplace_back(pinwheel(), pinwheel(0.2, 2));
  pairs.emplace_back(rings(), rings(0.08, 2));
  for (const double noise : {0.05, 5.0}) {
    pairs.emplace_back(two_moons(noise), two_moons(noise, 2));
  }
  pairs.emplace_back(std::make_unique<Funnel>(), std::make_unique<Funnel>(3, 2));
  pairs.emplace_back(std::make_unique<Banana>(), std::make_unique<Banana>(2, 0.5, 2));
  at::Generator random = base::make_generator(2, "planar");
  const at::Tensor angle = 2 * M_PI * at::rand({100}, random, kDouble);
  const at::Tensor x =
      10 * at::rand({100, 1}, random, kDouble).sqrt() * at::stack({angle.cos(), angle.sin()}, 1);
  for (size_t i = 0; i < pairs.size(); ++i) {
    for (const double sigma : {0.0, 0.01, 0.1, 0.5, 2.0, 10.0}) {
      const auto& [p, finer] = pairs[i];
      const auto jet = p->evaluate(x, sigma, 3), truth = finer->evaluate(x, sigma, 3);
      const auto gaps = jet_gaps(jet, {truth.s1, truth.s2->dense(), truth.s3->dense()});
      const at::Tensor change =
          p->log_density(x, level(sigma)) - finer->log_density(x, level(sigma));
      EXPECT_LT(change.abs().max().item<double>(), 1e-10) << i << " " << sigma;
      for (const double gap : gaps) EXPECT_LT(gap, 1e-10) << i << " " << sigma;
    }
  }
}

// The nodes as a GaussianMixture, whose formula is another.
TEST(PlanarNodes, AreTheGaussianMixtureThatTheyDescribe) {
  const auto p = two_moons();
  const at::Tensor covariance = 0.04 * at::eye(2, kDouble);
  const GaussianMixture mixture(p->weights(), p->nodes(),
                                covariance.expand({p->nodes().size(0), 2, 2}));
  const at::Tensor x = p->sample(50, base::make_generator(3, "planar"));
  const auto jet = p->evaluate(x, 0.1, 3), expected = mixture.evaluate(x, 0.1, 3);
  EXPECT_LT((jet.s1 - expected.s1).abs().max().item<double>(), 1e-11);
  EXPECT_LT((jet.s2->dense() - expected.s2->dense()).abs().max().item<double>(), 1e-9);
  EXPECT_LT((jet.s3->dense() - expected.s3->dense()).abs().max().item<double>(), 1e-8);
}

// Far from the mass and in narrow places, where automatic differentiation of a logarithm of a sum
// itself has few digits left: log p, then s1, s2, s3 by number of derivatives in y. Made by
// tests/distributions/planar_golden.py, mpmath 1.3.0 with 60 digits, 2026-11-24.
struct Golden {
  std::string name;
  double x, y, sigma;
  std::vector<double> values;
};
const std::vector<Golden> kGolden{
    {"rings",
     8,
     1,
     0,
     {-2005.276931682982, -784.931287823968, -98.116410977996, -155.3480621250105,
      -7.153956393376816, -99.0106555271681, -0.3320473334514918, 1.746983181662767,
      -6.823802927022457, -2.641464464222011}},
    {"rings",
     -0.3,
     0.2,
     0.01,
     {-12.63491154163307, -48.69100387244345, 32.46066924829563, -53.87344522764198,
      144.1178609794134, 66.22477225520255, 677.6817682977286, 508.9978943309372, 60.99546205552365,
      -1001.449381233105}},
    {"checkerboard",
     7,
     0.3,
     0.1,
     {-464.3947060806533, -300.3325966743368, -32.83098654930437, -99.88962284881099, 0.0,
      -92.94408132147319, -0.07309993015784438, 0.0, 0.0, -31.47067283084249}},
    {"checkerboard",
     -4.3,
     1.7,
     0.01,
     {-457.7869798591429, 3003.325966743368, 0.0, -9988.962284881099, 0.0, 0.0, 73.09993015784438,
      0.0, 0.0, -1.324807875255815e-187}},
    {"checkerboard",
     -1.5,
     -34,
     1,
     {-458.7842029041326, -0.5581207600035699, 30.03325966743368, 0.5652476852714217,
      3.443303280787939e-27, -0.9988962284881099, 2.497752893719963, -1.66350281522722e-27,
      6.879248504705851e-27, 7.309993015784438e-5}},
    {"checkerboard",
     0.3,
     -0.4,
     0.05,
     {-24.20250422222137, -123.1695744259151, 0.0001024190382528222, -390.3951331512264,
      0.01261490937960307, 0.01638703563079215, -54.35906785681986, 1.593756913862021,
      2.018382916722718, 2.580954728936757}},
    {"checkerboard",
     9,
     -0.7,
     0.01,
     {-125010.5992865344, -50000.19999840003, 0.0, -9999.960000959968, 0.0, 0.0,
      -0.01599923203839788, 0.0, 0.0, 0.0}},
    {"funnel",
     -7,
     5,
     0.01,
     {-8883.111096408464, 6437.99678771557, -2723.458247846102, -3645.348213259786,
      1636.376668538505, -123.3001645124849, 1141.482517442754, -632.6273687730337,
      -74.23754280018962, 87.99405087284383}},
    {"funnel",
     -4,
     0.1,
     0.1,
     {-2.220804166201187, 0.2345944366642227, -3.529601226251488, -0.2577290883945323,
      2.272739453618839, -35.24420309483328, -0.008546129939832104, -0.6638302504566707,
      22.69720197613657, 1.553244714238525}},
    {"funnel",
     2,
     -30,
     0.5,
     {-22.58520580612209, 7.854860667668665, 0.5893062623330286, -2.73007460599263,
      -0.1814760139524459, 0.00728189719614876, 0.2618971307246606, 0.01868591697084244,
      -0.004840566494388684, 0.0001561936871360434}},
    {"banana",
     0.5,
     -6,
     0.05,
     {-11.04996015693216, -2.159299369887972, 4.113268034904854, -4.557228336298438,
      0.4877428926400898, -0.9969016087129294, -1.430051179448702, 0.9731336776940273,
      0.002402698307296731, 4.461551509040976e-6}},
    {"banana",
     0.1,
     9,
     0.3,
     {-56.8539390930612, 5.134644953604056, -9.73314260389642, 46.39165753881486, 2.177784835244227,
      -0.7560033702470728, -132.1766628278069, 16.24218084135374, 1.176447507398426,
      0.1082021740522022}}};

TEST(PlanarGolden, EqualsManyDigitsWhereAutodiffCannot) {
  for (const Golden& golden : kGolden) {
    const auto p = make_density(golden.name);
    const at::Tensor x = at::tensor({golden.x, golden.y}, kDouble).view({1, 2});
    const auto jet = p->evaluate(x, golden.sigma, 3);
    const at::Tensor s1 = jet.s1[0], s2 = jet.s2->dense()[0], s3 = jet.s3->dense()[0];
    const at::Tensor found =
        at::stack({p->log_density(x, level(golden.sigma))[0], s1[0], s1[1], s2[0][0], s2[0][1],
                   s2[1][1], s3[0][0][0], s3[0][0][1], s3[0][1][1], s3[1][1][1]});
    const at::Tensor truth = at::tensor(golden.values, kDouble);
    for (int64_t n = 0, first = 0; n < 4; first += ++n) {
      const at::Tensor f = found.narrow(0, first, n + 1), t = truth.narrow(0, first, n + 1);
      const double gap = ((f - t).abs().max() / t.abs().max()).item<double>();
      EXPECT_LT(gap, 1e-10) << golden.name << " at " << golden.x << ", " << golden.y << ", order "
                            << n;
    }
  }
}

TEST(Checkerboard, HasNoScoreWithoutNoise) {
  const auto p = make_density("checkerboard");
  const at::Tensor x = at::zeros({2, 2}, kDouble);
  testing::expect_error<std::domain_error>([&] { p->evaluate(x, 0.0, 1); },
                                           "sigma must be positive; got 0");
  testing::expect_error<std::domain_error>([&] { p->log_density(x, level(0)); },
                                           "sigma must be positive");
}

TEST(Catalogue, NamesTheNearestOfAnUnknownName) {
  testing::expect_error<std::invalid_argument>([] { make_density("two-moon"); },
                                               "got \"two-moon\" (nearest: two-moons)");
  testing::expect_error<std::domain_error>([] { two_moons(0.0); }, "noise must be positive");
  testing::expect_error<std::domain_error>([] { rings(0.08, 0); },
                                           "refinement must be >= 1; got 0");
  testing::expect_error<std::domain_error>([] { Funnel(-1); }, "spread must be positive");
}

}  // namespace
}  // namespace scorejet::distributions
