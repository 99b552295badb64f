// The one-pass optimiser step and norms against the plain tensor forms in float64.
#include "src/training/optimiser.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

namespace scorejet::training {
namespace {

using Range = FlatParameters::Range;
using Scales = std::vector<GradientScale>;

constexpr double kRate = 0.01, kEma = 0.99;

struct Buffers {
  at::Tensor values;
  AdamState state;
};

// Steps with gradients of a seed each, so that moments have a past; the last one's state.
template <typename F>
Buffers run(const F& step, int64_t size, const Scales& scales, at::ScalarType type,
            int64_t steps = 3) {
  torch::manual_seed(21);
  Buffers b{at::randn({size}).to(type), {}};
  b.state = make_adam_state(b.values);
  for (int64_t i = 0; i < steps; ++i) {
    const at::Tensor gradients = (3 * at::randn({size})).to(type);
    const at::Tensor before = gradients.clone();
    step(b.state, b.values, gradients, kRate, kEma, scales);
    EXPECT_TRUE(gradients.equal(before)) << "the gradients must stay";
  }
  return b;
}

void expect_near(const at::Tensor& value, const at::Tensor& expected, const std::string& what) {
  const double error = (value.to(at::kDouble) - expected).abs().max().item<double>();
  EXPECT_LE(error, 1e-5 * expected.abs().max().item<double>()) << what;
}

void expect_equal(const Buffers& one, const Buffers& other) {
  EXPECT_TRUE(one.values.equal(other.values));
  EXPECT_TRUE(one.state.first_moment.equal(other.state.first_moment));
  EXPECT_TRUE(one.state.second_moment.equal(other.state.second_moment));
  EXPECT_TRUE(one.state.average.equal(other.state.average));
}

TEST(AdamStep, EqualsThePlainFormInFloat64) {
  for (const int64_t size : {1, 7, 16, 1003, 16384, 16389, 70001}) {
    const Scales some = size < 4 ? Scales{{{0, size}, 0.3}}
                                 : Scales{{{1, size / 2}, 0.3}, {{size / 2, size - 1}, 1e-3}};
    for (const Scales& scales : {Scales{}, some}) {
      const Buffers exact = run(adam_step_plain, size, scales, at::kDouble);
      const Buffers found = run(adam_step, size, scales, at::kFloat);
      const std::string what = fmt::format("{} parameters, {} scales", size, scales.size());
      EXPECT_EQ(found.state.step, 3);
      expect_near(found.values, exact.values, what + ": values");
      expect_near(found.state.first_moment, exact.state.first_moment, what + ": first moment");
      expect_near(found.state.second_moment, exact.state.second_moment, what + ": second moment");
      expect_near(found.state.average, exact.state.average, what + ": average");
    }
  }
}

TEST(AdamStep, ScalesAreThoseOfAScaledGradient) {
  constexpr int64_t kSize = 40000;
  const Scales scales{{{100, 20000}, 0.25}, {{30000, 40000}, 0.5}};
  const Buffers scaled = run(adam_step, kSize, scales, at::kFloat);
  const Buffers by_hand = run(
      [&](AdamState& state, const at::Tensor& values, const at::Tensor& gradients, double rate,
          double ema, const Scales&) {
        at::Tensor g = gradients.clone();
        for (const auto& [range, factor] : scales) {
          g.narrow(0, range.begin, range.end - range.begin).mul_(factor);
        }
        adam_step(state, values, g, rate, ema);
      },
      kSize, {}, at::kFloat);
  expect_equal(scaled, by_hand);  // powers of two scale without rounding
}

TEST(AdamStep, SameBitsForAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  const auto with_threads = [&](int threads) {
    at::set_num_threads(threads);
    return run(adam_step, 300001, {{{5, 100000}, 0.7}}, at::kFloat);
  };
  const Buffers one = with_threads(1), two = with_threads(2);
  at::set_num_threads(before);
  expect_equal(one, two);
}

TEST(AdamStep, RefusesScalesThatOverlapOrLieOutside) {
  for (const Scales& scales : {Scales{{{0, 11}, 1.0}}, Scales{{{-1, 3}, 1.0}},
                               Scales{{{0, 5}, 1.0}, {{4, 6}, 1.0}}, Scales{{{5, 4}, 1.0}}}) {
    EXPECT_THROW(run(adam_step, 10, scales, at::kFloat, 1), std::invalid_argument);
    EXPECT_THROW(run(adam_step_plain, 10, scales, at::kFloat, 1), std::invalid_argument);
  }
}

double norm_of(const at::Tensor& x, const std::vector<Range>& ranges,
               decltype(&range_norm) norm = range_norm) {
  return norm(x, ranges).item<double>();
}

TEST(RangeNorm, EqualsThePlainFormInFloat64) {
  torch::manual_seed(22);
  const at::Tensor x = at::randn({100003});
  const std::vector<std::vector<Range>> all{
      {},        {{0, 0}},      {{0, 1}},
      {{3, 20}}, {{0, 100003}}, {{1, 16387}, {20000, 60001}, {60001, 70000}}};
  for (const auto& ranges : all) {
    const double exact = norm_of(x.to(at::kDouble), ranges, range_norm_plain);
    EXPECT_NEAR(norm_of(x, ranges), exact, 1e-12 * exact);
    EXPECT_NEAR(norm_of(x, ranges, range_norm_plain), exact, 1e-5 * exact);
  }
}

TEST(RangeNorm, SameBitsForAnyNumberOfThreads) {
  torch::manual_seed(23);
  const at::Tensor x = at::randn({1000003});
  const std::vector<Range> ranges{{2, 300000}, {400001, 1000003}};
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const double one = norm_of(x, ranges);
  at::set_num_threads(2);
  const double two = norm_of(x, ranges);
  at::set_num_threads(before);
  EXPECT_EQ(one, two);
}

TEST(RangeNorm, LargeAndBadEntries) {
  const at::Tensor x = at::full({40}, 1e30);
  EXPECT_NEAR(norm_of(x, {{0, 40}}), std::sqrt(40.0) * 1e30, 1e24);  // no overflow in float32
  x[17] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(norm_of(x, {{0, 40}})));
}

}  // namespace
}  // namespace scorejet::training
