// What `scorejet bench` counts and how it judges.
#include "bench/bench.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "bench/counted_work.h"
#include "reproduce/speed/loss_scaling.h"

namespace scorejet::bench {
namespace {

TEST(CountFlops, MatrixProducts) {
  const at::Tensor a = at::ones({3, 4}), b = at::ones({4, 5}), bias = at::ones({5});
  EXPECT_EQ(count_flops([&] { at::mm(a, b); }), 2 * 3 * 4 * 5);
  EXPECT_EQ(count_flops([&] { at::addmm(bias, a, b); }), 2 * 3 * 4 * 5);
  at::Tensor sum = at::ones({3, 5});
  EXPECT_EQ(count_flops([&] { sum.addmm_(a, b); }), 2 * 3 * 4 * 5);
  EXPECT_EQ(count_flops([&] { at::linear(a, b.t(), bias); }), 2 * 3 * 4 * 5);
  const at::Tensor batch = at::ones({7, 3, 4});
  EXPECT_EQ(count_flops([&] { at::matmul(batch, at::ones({7, 4, 2})); }), 7 * 2 * 3 * 4 * 2);
  EXPECT_EQ(count_flops([&] { a + a; }), 0);
}

// Outputs of each size by hand; the backward pass has one product for the input's gradient and one
// for the weight's, each as large as the forward one.
TEST(CountFlops, ConvolutionsForwardAndBackward) {
  const auto check = [](int64_t stride, int64_t padding, int64_t side) {
    const at::Tensor x = at::ones({2, 3, 9, 9}).requires_grad_();
    const at::Tensor weight = at::ones({5, 3, 3, 3}).requires_grad_();
    const double forward = 2.0 * 2 * 5 * static_cast<double>(side * side) * 3 * 9;
    at::Tensor y;
    EXPECT_EQ(count_flops([&] { y = at::conv2d(x, weight, {}, stride, padding); }), forward);
    EXPECT_EQ(y.size(2), side);
    EXPECT_EQ(count_flops([&] { y.sum().backward(); }), 2 * forward);
    const at::Tensor only = at::conv2d(x.detach(), weight, {}, stride, padding);
    EXPECT_EQ(count_flops([&] { only.sum().backward(); }), forward);
  };
  check(1, 1, 9);
  check(1, 0, 7);
  check(2, 1, 5);
}

TEST(LossScaling, SlopeIsThatOfAPowerLaw) {
  EXPECT_NEAR(reproduce::log_log_slope({1, 10, 50}, {3, 3 * 31.6227766, 3 * 353.553391}), 1.5,
              1e-6);
  EXPECT_THROW(reproduce::log_log_slope({1}, {1}), std::invalid_argument);
}

TEST(RunBench, SharesAreOfThePeakInTheSameRun) {
  const at::Tensor a = at::ones({64, 64});
  const BenchReport report =
      run_bench({{"group", "product", [&] { at::mm(a, a); }, Peak::kGemm, 2.0 * 64 * 64 * 64}},
                1e-3, at::kCPU);
  ASSERT_EQ(report.figures.size(), 1u);
  const BenchFigure& one = report.figures[0];
  for (const double peak : report.peaks) EXPECT_GT(peak, 0);
  EXPECT_DOUBLE_EQ(one.rate, 2.0 * 64 * 64 * 64 / one.seconds);
  EXPECT_DOUBLE_EQ(one.share, one.rate / report.peaks[0]);
  EXPECT_THROW(run_bench({}, 0, at::kCPU), std::domain_error);
}

TEST(BenchCases, NamesAreTheirOwnAndWorkIsCounted) {
  std::set<std::string> names;
  for (const BenchCase& one : bench_cases(at::kCPU)) {
    EXPECT_TRUE(names.insert(one.group + ": " + one.name).second) << one.name;
    EXPECT_GE(one.work, 0) << one.name;
  }
  EXPECT_GT(names.size(), 25u);
}

}  // namespace
}  // namespace scorejet::bench
