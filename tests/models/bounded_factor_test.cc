// The one-pass bounded factor against its tensor operations in float64.
#include "src/models/bounded_factor.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

namespace scorejet::models {
namespace {

enum class Layout { kCoordinates, kColumns, kNeither };

at::Tensor make_raw(int64_t n, int64_t dim, int64_t rank, Layout layout) {
  if (layout == Layout::kCoordinates) return 5 * at::randn({n, dim, rank});
  if (layout == Layout::kColumns) return (5 * at::randn({n, rank, dim})).transpose(1, 2);
  return (5 * at::randn({n, dim, 2 * rank})).slice(2, 0, 2 * rank, 2);
}

void expect_near(const at::Tensor& value, const at::Tensor& expected, double tolerance) {
  const double error = (value.to(at::kDouble) - expected).abs().max().item<double>();
  EXPECT_LE(error, tolerance * expected.abs().max().item<double>());
}

TEST(BoundedFactor, EqualsThePlainFormInFloat64) {
  torch::manual_seed(31);
  for (const Layout layout : {Layout::kCoordinates, Layout::kColumns, Layout::kNeither}) {
    for (const auto& [n, dim, rank] : std::vector<std::tuple<int64_t, int64_t, int64_t>>{
             {1, 1, 1}, {2, 7, 3}, {3, 64, 1}, {2, 33, 20}, {40, 100, 17}}) {
      at::Tensor raw = make_raw(n, dim, rank, layout);
      const at::Tensor scale = 0.5 + at::rand({n, dim}), weight = at::randn({n, dim, rank});
      at::Tensor exact_raw = raw.to(at::kDouble).requires_grad_();
      raw.requires_grad_();
      const at::Tensor found = bounded_factor(raw, scale);
      const at::Tensor exact = bounded_factor_plain(exact_raw, scale.to(at::kDouble));
      torch::autograd::backward({(found * weight).sum()});
      torch::autograd::backward({(exact * weight.to(at::kDouble)).sum()});
      expect_near(found, exact, 1e-6);
      expect_near(raw.grad(), exact_raw.grad(), 1e-6);
      const at::NoGradGuard no_grad;
      EXPECT_TRUE(bounded_factor(raw, scale).equal(found));
      if (layout == Layout::kColumns) {
        EXPECT_TRUE(found.transpose(1, 2).is_contiguous()) << "the layout is the network's";
      }
    }
  }
}

TEST(BoundedFactor, SecondDerivativeAndThatInScaleEqualThePlainForms) {
  torch::manual_seed(32);
  const at::Tensor raw = make_raw(2, 5, 3, Layout::kColumns), scale = 0.5 + at::rand({2, 5});
  const auto second = [&](at::ScalarType type, auto&& function) {
    const at::Tensor b = raw.to(type).requires_grad_();
    const auto first =
        torch::autograd::grad({function(b, scale.to(type)).square().sum()}, {b}, {}, true, true)[0];
    torch::autograd::backward({first.square().sum()});
    return b.grad();
  };
  const at::Tensor exact = second(at::kDouble, bounded_factor_plain);
  EXPECT_GT(exact.abs().max().item<double>(), 0);
  expect_near(second(at::kFloat, bounded_factor), exact, 1e-4);

  const at::Tensor e = scale.clone().requires_grad_();
  const auto in_scale = torch::autograd::grad({bounded_factor(raw, e).sum()}, {e})[0];
  expect_near(in_scale,
              bounded_factor_plain(raw.to(at::kDouble), at::ones({2, 5}, at::kDouble)).sum(-1),
              1e-5);
}

TEST(BoundedFactor, SameBitsForAnyNumberOfThreads) {
  torch::manual_seed(33);
  const at::Tensor raw = make_raw(9, 200, 20, Layout::kColumns), scale = 0.5 + at::rand({9, 200});
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = bounded_factor(raw, scale);
  at::set_num_threads(2);
  const at::Tensor two = bounded_factor(raw, scale);
  at::set_num_threads(before);
  EXPECT_TRUE(one.equal(two));
}

TEST(BoundedFactor, LargeRankZeroAndWrongShapes) {
  const at::Tensor raw = at::full({1, 2, 1}, 1e10), scale = at::ones({1, 2});
  expect_near(bounded_factor(raw, scale), at::full({1, 2, 1}, 4.0, at::kDouble), 1e-6);
  EXPECT_EQ(bounded_factor(raw.narrow(2, 0, 0), scale).numel(), 0);
  EXPECT_THROW(bounded_factor(raw, scale.narrow(1, 0, 1)), std::invalid_argument);
  EXPECT_THROW(bounded_factor(raw[0], scale), std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::models
