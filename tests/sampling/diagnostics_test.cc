// Convergence diagnostics against R's posterior, exact answers and their contracts; modes; energy.
#include "scorejet/diagnostics.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "tests/scratch.h"

namespace scorejet::sampling {
namespace {

using testing::error_of;
constexpr auto kDouble = at::kDouble;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// The draws that diagnostics_golden.R makes too.
class GoldenDraws {
 public:
  at::Tensor make(const std::string& kind, int64_t chains, int64_t n, double rho, double shift,
                  double scale) {
    at::Tensor x = at::empty({chains, n}, kDouble);
    auto values = x.accessor<double, 2>();
    for (int64_t c = 0; c < chains; ++c) {
      const auto index = static_cast<double>(c);
      double y = normal();
      for (int64_t t = 0; t < n; ++t) {
        if (t > 0) y = rho * y + std::sqrt(1 - rho * rho) * normal();
        double value = y * (1 + scale * index) + shift * index;
        if (kind == "ratio") value /= normal();
        if (kind == "integer") value = std::floor(2 * value);
        if (kind == "sign") value = value > 0.3 ? 1 : 0;
        values[c][t] = value;
      }
    }
    return x;
  }

 private:
  double uniform() {
    state_ = 16807 * state_ % 2147483647;
    return static_cast<double>(state_) / 2147483647;
  }
  double normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += uniform();
    return sum;
  }
  int64_t state_ = 42;
};

struct Golden {
  const char* kind;
  int64_t chains, draws;
  double rho, shift, scale;
  std::vector<double> values;  // mean, sd, rhat, ess_bulk, ess_tail, ess_mean, mcse_mean
};

// tests/sampling/diagnostics_golden.R, R 4.2.2 with posterior 1.4.0, 2026-11-25.
const std::vector<Golden> kGolden = {
    {"normal",
     4,
     250,
     0,
     0,
     0,
     {-0.035496250338618, 1.0219669395906, 0.99935222000521, 1002.2156046843, 906.64745344704,
      1001.7339610354, 0.032289450025639}},
    {"normal",
     4,
     500,
     0.9,
     0,
     0,
     {-0.087341513565136, 1.0378265602209, 1.0415195774889, 96.984850318999, 196.35070772169,
      96.456494670896, 0.10567178497518}},
    {"normal",
     3,
     101,
     0.5,
     0,
     0,
     {-0.015494593255886, 1.0467360447932, 1.041644649578, 108.15634388329, 158.59967497291,
      108.40475125275, 0.10053401354528}},
    {"normal",
     1,
     300,
     0.3,
     0,
     0,
     {-0.011944552894642, 0.94795735100303, 0.99813742433613, 168.30745653142, 163.32989734135,
      169.83185915642, 0.07274099155346}},
    {"normal",
     4,
     100,
     0,
     0.6,
     0,
     {0.85453992398201, 1.195659469681, 1.1758726505485, 18.16938699014, 283.87697254305,
      17.951633166936, 0.28219903563684}},
    {"normal",
     4,
     100,
     0,
     0,
     1,
     {0.0054583873904581, 2.7583741495522, 1.124459191977, 419.38401658491, 138.00945377073,
      421.39695900109, 0.13437159599433}},
    {"normal",
     2,
     200,
     -0.7,
     0,
     0,
     {-0.020033140258795, 0.97392755481399, 1.0100501402133, 1040.8239965312, 452.92890815317,
      1040.8239965312, 0.03018825466765}},
    {"normal",
     1,
     64,
     -0.95,
     0,
     0,
     {-0.039190234607156, 1.2195569152231, 1.4465014850658, 115.59551833497, 13.715273277166,
      115.59551833497, 0.11343095140566}},
    {"normal",
     2,
     13,
     0.8,
     0,
     0,
     {0.044831884930909, 0.85651754677696, 1.6783441442481, 7.5980581158852, 11.739130434783,
      7.783225616562, 0.30701278024722}},
    {"normal",
     2,
     12,
     0,
     0,
     0,
     {-0.1055057544054, 1.0270630350679, 1.1232099848598, 18.530154205157, 22.978723404255,
      16.538182468597, 0.25255339397419}},
    {"ratio",
     4,
     250,
     0.6,
     0,
     0,
     {1.167657596953, 22.18087153819, 1.0022390253933, 1124.1860010672, 931.58262103007,
      917.06894641369, 0.73244937496705}},
    {"integer",
     4,
     150,
     0.4,
     0,
     0,
     {-0.51166666666667, 2.0107882379269, 1.0043098806304, 259.95739020808, 430.31849008638,
      260.7414061965, 0.12452637174173}},
    {"integer",
     1,
     401,
     0,
     0,
     0,
     {-0.26683291770574, 2.0201787531092, 1.0026839440294, 341.38221422381, 350.57688469086,
      346.16016435833, 0.10858035443615}},
    {"sign",
     2,
     80,
     0.5,
     0,
     0,
     {0.3, 0.45969637231218, 1.0400784994529, 77.550832668191, kNaN, 77.550832668191,
      0.052200882349085}}};

TEST(Summarise, EqualsPosterior) {
  GoldenDraws draws;
  for (const Golden& golden : kGolden) {
    const at::Tensor x = draws.make(golden.kind, golden.chains, golden.draws, golden.rho,
                                    golden.shift, golden.scale);
    const ChainSummary s = summarise(x);
    const std::vector<at::Tensor> found{s.mean,     s.sd,       s.rhat,     s.ess_bulk,
                                        s.ess_tail, s.ess_mean, s.mcse_mean};
    for (size_t i = 0; i < found.size(); ++i) {
      const double value = found[i].item<double>(), truth = golden.values[i];
      EXPECT_TRUE(std::isnan(truth) ? std::isnan(value)
                                    : std::abs(value - truth) <= 1e-9 * std::abs(truth))
          << golden.kind << " " << golden.chains << " x " << golden.draws << ", rho " << golden.rho
          << ", value " << i << ": " << value << " for " << truth;
    }
  }
}

at::Tensor autoregression(int64_t chains, int64_t n, int64_t dim, double rho) {
  at::Tensor x = at::randn({chains, n, dim}, kDouble);
  for (int64_t t = 1; t < n; ++t) {
    x.select(1, t).mul_(std::sqrt(1 - rho * rho)).add_(x.select(1, t - 1), rho);
  }
  return x;
}

TEST(Summarise, AutoregressionHasItsTimeAndItsStandardError) {
  torch::manual_seed(21);
  constexpr int64_t kDim = 64;
  for (const double rho : {0.5, 0.9, -0.4}) {
    const ChainSummary s = summarise(autoregression(4, 2000, kDim, rho));
    // Five standard errors over the coordinates, and 2 % for the truncation of the sum.
    const auto away = [&](double tau) {
      const double error = s.tau.std().item<double>() / std::sqrt(double{kDim});
      return std::abs(s.tau.mean().item<double>() - tau) / (5 * error + 0.02 * tau);
    };
    EXPECT_LT(away((1 + rho) / (1 - rho)), 1) << rho;
    EXPECT_GT(away(1.2 * (1 + rho) / (1 - rho)), 1) << "a biased control must fail";
    // (mean / its error)² is about χ² of one degree: variance 2.
    const double ratio = (s.mean / s.mcse_mean).square().mean().item<double>();
    EXPECT_NEAR(ratio, 1, 5 * std::sqrt(2.0 / kDim)) << rho;
    EXPECT_LT(s.rhat.max().item<double>(), 1.05);
    EXPECT_TRUE(s.tau.allclose(8000 / s.ess_mean));
  }
}

TEST(Summarise, DisagreeingChainsAreFoundAndAgreeingOnesNot) {
  torch::manual_seed(22);
  const at::Tensor chain = at::arange(4, kDouble).view({4, 1, 1});
  const at::Tensor z = at::randn({4, 400, 1}, kDouble);
  EXPECT_LT(summarise(z).rhat.item<double>(), 1.02);
  EXPECT_GT(summarise(z + 0.5 * chain).rhat.item<double>(), 1.1);
  EXPECT_GT(summarise(z * (1 + chain)).rhat.item<double>(), 1.1) << "equal means, other spreads";
  EXPECT_GT(summarise(z + at::linspace(0, 3, 400, kDouble).view({1, 400, 1})).rhat.item<double>(),
            1.1)
      << "a common drift";
  const ChainSummary stuck = summarise(chain.expand({4, 400, 1}) / 3);
  EXPECT_GT(stuck.rhat.item<double>(), 100);
  EXPECT_LT(stuck.ess_mean.item<double>(), 10);
}

TEST(Summarise, WhatHasNoAnswerIsNaNAndLeavesTheOthersAlone) {
  torch::manual_seed(23);
  const at::Tensor good = autoregression(2, 50, 4, 0.3);
  const ChainSummary truth = summarise(good);
  at::Tensor x = good.clone();
  x.select(2, 0).fill_(0.1);
  x[1][7][1] = kNaN;
  x[0][49][2] = std::numeric_limits<double>::infinity();
  const ChainSummary s = summarise(x);
  for (const auto& [found, expected] : {std::pair{s.rhat, truth.rhat},
                                        {s.ess_bulk, truth.ess_bulk},
                                        {s.ess_tail, truth.ess_tail},
                                        {s.ess_mean, truth.ess_mean},
                                        {s.tau, truth.tau},
                                        {s.mcse_mean, truth.mcse_mean}}) {
    EXPECT_TRUE(found.narrow(0, 0, 3).isnan().all().item<bool>());
    EXPECT_EQ(found[3].item<double>(), expected[3].item<double>());
  }
  EXPECT_DOUBLE_EQ(s.mean[0].item<double>(), 0.1);
  const at::Tensor rho = autocorrelation(x, 5);
  EXPECT_TRUE(rho.narrow(0, 0, 3).isnan().all().item<bool>());
  EXPECT_TRUE(rho[3].equal(autocorrelation(good, 5)[3]));

  const ChainSummary eleven = summarise(good.narrow(1, 0, 11));
  EXPECT_TRUE(eleven.ess_bulk.isnan().all().item<bool>());
  EXPECT_TRUE(eleven.ess_tail.isnan().all().item<bool>());
  EXPECT_FALSE(eleven.rhat.isnan().any().item<bool>());
  for (const int64_t n : {1, 2, 3}) {
    EXPECT_TRUE(summarise(good.narrow(1, 0, n)).rhat.isnan().all().item<bool>());
  }
  EXPECT_EQ(summarise(good.narrow(2, 0, 0)).rhat.numel(), 0);
  const double capped =
      summarise(at::arange(100, kDouble).remainder(2).view({1, 100})).ess_mean.item<double>();
  EXPECT_DOUBLE_EQ(capped, 100 * std::log10(100.0)) << "perfectly alternating draws";
  const auto shape_error = error_of([] { summarise(at::zeros({3})); });
  EXPECT_NE(shape_error.find("[chains, draws, coordinates]; got 1 dim"), std::string::npos)
      << shape_error;
  EXPECT_NE(error_of([] {
              summarise(at::zeros({0, 5, 2}));
            }).find("0 chains of 5"),
            std::string::npos);
  EXPECT_NE(error_of([] {
              autocorrelation(at::zeros({2, 5, 2}), 5);
            }).find("0..4"),
            std::string::npos);
}

TEST(Summarise, BlocksOfCoordinatesAreAsEachAlone) {
  torch::manual_seed(24);
  const at::Tensor x = at::randn({2, 262144, 5}, at::kFloat);  // two blocks
  const ChainSummary all = summarise(x);
  for (const int64_t d : {0, 4}) {
    const ChainSummary one = summarise(x.select(2, d));
    EXPECT_EQ(all.rhat[d].item<double>(), one.rhat.item<double>());
    EXPECT_NEAR(all.ess_tail[d].item<double>() / one.ess_tail.item<double>(), 1, 1e-9);
  }
}

TEST(Autocorrelation, EqualsItsDefinition) {
  torch::manual_seed(25);
  constexpr int64_t kChains = 3, kDraws = 41;
  const at::Tensor x =
      autoregression(kChains, kDraws, 2, 0.6) + at::arange(kChains, kDouble).view({kChains, 1, 1});
  const at::Tensor rho = autocorrelation(x, kDraws - 1);
  for (int64_t d = 0; d < 2; ++d) {
    const at::Tensor one = x.select(2, d);
    const at::Tensor centred = one - one.mean(1, true);
    const double within = one.var(1).mean().item<double>();
    const double total = within * (kDraws - 1) / kDraws + one.mean(1).var(0).item<double>();
    for (int64_t t = 1; t < kDraws; ++t) {
      const at::Tensor products =
          centred.narrow(1, 0, kDraws - t) * centred.narrow(1, t, kDraws - t);
      const double covariance = products.sum().item<double>() / (kChains * kDraws);
      EXPECT_NEAR(rho[d][t].item<double>(), 1 - (within - covariance) / total, 1e-13);
    }
    EXPECT_EQ(rho[d][0].item<double>(), 1);
  }
}

TEST(Occupancy, CountsModesAndTransitions) {
  const at::Tensor centres = at::tensor({-2.0, 0.0, 2.0, 9.0}, kDouble).view({4, 1});
  const at::Tensor draws =
      at::tensor({-2.1, -1.8, 0.3, 2.5, 2.0, 0.1, 0.2, kNaN, 0.0, -5.0}, kDouble).view({2, 5, 1});
  const at::Tensor labels = nearest_centre(draws, centres);
  EXPECT_TRUE(labels.equal(at::tensor({0, 0, 1, 2, 2, 1, 1, -1, 1, 0}, at::kLong).view({2, 5})));
  const Occupancy o = occupancy(labels, 4);
  EXPECT_TRUE(o.fractions.allclose(at::tensor({3.0, 4.0, 2.0, 0.0}, kDouble) / 9));
  const double entropy =
      -(3 * std::log(3 / 9.0) + 4 * std::log(4 / 9.0) + 2 * std::log(2 / 9.0)) / 9;
  EXPECT_NEAR(o.entropy, entropy, 1e-15);
  EXPECT_TRUE(o.num_transitions.equal(at::tensor({2, 1}, at::kLong)));
  const at::Tensor counts = at::tensor({1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0}, at::kLong);
  EXPECT_TRUE(o.transition_counts.equal(counts.view({4, 4}))) << o.transition_counts;
  EXPECT_NEAR(occupancy(at::arange(8, at::kInt).view({1, 8}), 8).entropy, std::log(8.0), 1e-15);
  EXPECT_EQ(occupancy(at::zeros({3, 1}, at::kLong), 1).num_transitions.sum().item<int64_t>(), 0);

  EXPECT_NE(error_of([&] { occupancy(labels, 2); }).find("-1..1; got 2"), std::string::npos);
  EXPECT_NE(error_of([] { occupancy(at::full({2, 2}, -1), 2); }).find("got"), std::string::npos);
  EXPECT_NE(error_of([&] { occupancy(draws.select(2, 0), 2); }).find("integers; got Double"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              nearest_centre(draws, at::zeros({2, 3}));
            }).find("[any, 1]"),
            std::string::npos);
}

double mean_distance(double shift, double variance) {  // E |N(shift, variance)|
  return std::sqrt(2 * variance / std::numbers::pi) * std::exp(-shift * shift / (2 * variance)) +
         shift * std::erf(shift / std::sqrt(2 * variance));
}

TEST(EnergyDistance, EqualsItsDefinition) {
  torch::manual_seed(26);
  for (const int64_t dim : {1, 3, 40}) {  // 40: distances by products
    const at::Tensor x = at::randn({7, dim}, kDouble) + 100,
                     y = 2 * at::randn({5, dim}, kDouble) + 100;
    const auto mean = [](const at::Tensor& a, const at::Tensor& b, double num_pairs) {
      return (a.unsqueeze(1) - b.unsqueeze(0)).norm(2, {-1}).sum().item<double>() / num_pairs;
    };
    const EnergyDistance e = energy_distance(x, y);
    const double between = 2 * mean(x, y, 35);
    EXPECT_NEAR(e.distance, between - mean(x, x, 42) - mean(y, y, 20), 1e-6);
    EXPECT_NEAR(e.coefficient, 1 - (mean(x, x, 49) + mean(y, y, 25)) / between, 1e-6);
    EXPECT_NEAR(energy_distance(y, x).distance, e.distance, 1e-6);
    EXPECT_NEAR(energy_distance(x, x).coefficient, 0, 1e-6);
    EXPECT_GT(energy_distance(x, y + 1e4).coefficient, 0.99);
  }
  EXPECT_EQ(energy_distance(at::ones({2, 2}), at::ones({3, 2})).coefficient, 0);
  EXPECT_NE(error_of([] {
              energy_distance(at::zeros({4, 2}), at::zeros({4, 3}));
            }).find("[any, 2]"),
            std::string::npos);
  EXPECT_NE(error_of([] {
              energy_distance(at::zeros({4, 2}), at::zeros({1, 2}));
            }).find("got 1"),
            std::string::npos);
  EXPECT_NE(error_of([] {
              energy_distance(at::full({4, 2}, kNaN), at::zeros({4, 2}));
            }).find("x must be finite"),
            std::string::npos);
}

TEST(EnergyDistance, OfGaussiansIsTheClosedFormAndUnbiased) {
  torch::manual_seed(27);
  constexpr int kRepeats = 200;
  struct Case {
    double shift, deviation;
  };
  for (const Case c : {Case{0, 1}, Case{0.5, 1}, Case{0.3, 2}}) {
    const auto truth = [&](double shift) {
      return 2 * mean_distance(shift, 1 + c.deviation * c.deviation) - mean_distance(0, 2) -
             mean_distance(0, 2 * c.deviation * c.deviation);
    };
    std::vector<double> found, biased;
    for (int i = 0; i < kRepeats; ++i) {
      const at::Tensor x = at::randn({60, 1}, kDouble);
      const at::Tensor y = c.shift + c.deviation * at::randn({40, 1}, kDouble);
      const EnergyDistance e = energy_distance(x, y);
      found.push_back(e.distance);
      biased.push_back(e.coefficient * 2 * at::cdist(x, y).mean().item<double>());
    }
    const auto away = [&](const std::vector<double>& values) {
      const at::Tensor v = at::tensor(values, kDouble);
      return std::abs(v.mean().item<double>() - truth(c.shift)) * std::sqrt(double{kRepeats}) /
             v.std().item<double>();
    };
    EXPECT_LT(away(found), 5) << c.shift;
    EXPECT_GT(away(biased), 5) << "the biased form must fail";
  }
}

TEST(EnergyDistance, OfAShiftedSampleIsAboveEveryPermutation) {
  torch::manual_seed(28);
  const at::Tensor x = at::randn({150, 5}, kDouble), y = at::randn({150, 5}, kDouble);
  // The rank of the distance among 99 relabelled ones: each place is as likely when p = q.
  const auto rank = [](const at::Tensor& a, const at::Tensor& b) {
    const double found = energy_distance(a, b).distance;
    const at::Tensor pool = at::cat({a, b});
    int higher = 0;
    for (int i = 0; i < 99; ++i) {
      const at::Tensor p = pool.index_select(0, at::randperm(pool.size(0), at::kLong));
      const auto halves = p.split(a.size(0));
      if (energy_distance(halves[0], halves[1]).distance >= found) ++higher;
    }
    return higher;
  };
  EXPECT_EQ(rank(x, y + 0.4), 0);
  EXPECT_GT(rank(x, y), 0) << "the same distribution";  // false alarms: 1 in 100, seed fixed
}

}  // namespace
}  // namespace scorejet::sampling
