// Columns mixed from shared maps: the fast passes against the plain form, which is the formula in
// tensor operations, and that against a loop.
#include "src/nets/mixed_maps.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

namespace scorejet::nets {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

struct Sizes {
  int64_t images, columns, maps, values, height, width, rows, cells, patch;
};

// Odd sizes, one column, more columns than a register holds, coefficients as fine as the maps.
const std::vector<Sizes> kSizes{{1, 1, 1, 1, 1, 1, 1, 1, 1},
                                {2, 20, 16, 4, 14, 14, 7, 7, 2},
                                {3, 5, 2, 12, 7, 5, 4, 3, 2},
                                {2, 33, 3, 1, 4, 6, 4, 6, 1},
                                {1, 50, 16, 9, 3, 9, 2, 5, 3}};

struct Problem {
  at::Tensor coefficients, maps, weight;
};

Problem make_problem(const Sizes& s, at::ScalarType type = at::kFloat) {
  torch::manual_seed(61);
  const auto draw = [&](at::IntArrayRef shape) {
    return at::randn(shape, at::TensorOptions(type)).contiguous(kChannelsLast);
  };
  return {draw({s.images, s.maps * s.columns, s.rows, s.cells}).requires_grad_(),
          draw({s.images, s.maps * s.values, s.height, s.width}).requires_grad_(),
          at::randn({s.images, s.columns * s.values / (s.patch * s.patch), s.height * s.patch,
                     s.width * s.patch},
                    at::TensorOptions(type))};
}

double error(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>() / std::max(1e-30, b.abs().max().item<double>());
}

TEST(MixedMaps, PlainFormIsTheFormula) {
  const Sizes s{2, 3, 2, 2, 6, 4, 3, 2, 1};
  const Problem p = make_problem(s, at::kDouble);
  const at::NoGradGuard no_grad;
  const at::Tensor y = mixed_maps_plain(p.coefficients, p.maps, s.columns, s.patch);
  const at::Tensor g = at::upsample_bilinear2d(p.coefficients, {s.height, s.width}, false);
  for (int64_t k = 0; k < s.columns; ++k) {
    for (int64_t v = 0; v < s.values; ++v) {
      at::Tensor sum = at::zeros({s.images, s.height, s.width}, at::kDouble);
      for (int64_t c = 0; c < s.maps; ++c) {
        sum += g.select(1, c * s.columns + k) * p.maps.select(1, c * s.values + v);
      }
      EXPECT_LT(error(y.select(1, k * s.values + v), sum), 1e-14);
    }
  }
}

// Sums of at most 16 products and a bilinear mean in float32: 1e-5 is 50 roundings.
TEST(MixedMaps, EqualsThePlainFormAndItsGradients) {
  for (const Sizes& s : kSizes) {
    const Problem p = make_problem(s);
    const at::Tensor fast = mixed_maps(p.coefficients, p.maps, s.columns, s.patch);
    const at::Tensor plain = mixed_maps_plain(p.coefficients, p.maps, s.columns, s.patch);
    EXPECT_EQ(fast.sizes(), plain.sizes());
    EXPECT_LT(error(fast, plain), 1e-5);
    for (const bool again : {false, true}) {
      const auto gradients = [&](const at::Tensor& y) {
        return torch::autograd::grad({(y * p.weight).sum()}, {p.coefficients, p.maps}, {}, true,
                                     again);
      };
      const auto a = gradients(fast), b = gradients(plain);
      EXPECT_LT(error(a[0], b[0]), 1e-5);
      EXPECT_LT(error(a[1], b[1]), 1e-5);
    }
    const at::NoGradGuard no_grad;
    EXPECT_TRUE(mixed_maps(p.coefficients, p.maps, s.columns, s.patch).equal(fast));
    EXPECT_LT(error(mixed_maps(p.coefficients.contiguous(), p.maps, s.columns, s.patch), plain),
              1e-5);
  }
}

// Maps are some of a convolution's channels: those before and after are not to be touched.
TEST(MixedMaps, TakesMapsAmongOthers) {
  for (const Sizes& s : kSizes) {
    const Problem p = make_problem(s);
    const int64_t channels = s.maps * s.values;
    const at::Tensor all =
        at::cat({at::ones_like(p.maps).narrow(1, 0, 1), p.maps.detach(), p.maps.detach()}, 1)
            .contiguous(kChannelsLast)
            .requires_grad_();
    const at::Tensor y = mixed_maps(p.coefficients, all.narrow(1, 1, channels), s.columns, s.patch);
    const at::Tensor expected = mixed_maps_plain(p.coefficients, p.maps, s.columns, s.patch);
    EXPECT_LT(error(y, expected), 1e-5);
    const auto a = torch::autograd::grad({(y * p.weight).sum()}, {p.coefficients, all});
    const auto b = torch::autograd::grad({(expected * p.weight).sum()}, {p.coefficients, p.maps});
    EXPECT_LT(error(a[0], b[0]), 1e-5);
    EXPECT_LT(error(a[1].narrow(1, 1, channels), b[1]), 1e-5);
    EXPECT_EQ(a[1].narrow(1, 0, 1).abs().sum().item<double>(), 0);
    EXPECT_EQ(a[1].narrow(1, 1 + channels, channels).abs().sum().item<double>(), 0);
  }
}

TEST(MixedMaps, IsDifferentiableTwice) {
  const Sizes s = kSizes[2];
  const auto second = [&](auto&& function) {
    const Problem p = make_problem(s);
    const at::Tensor y = function(p.coefficients, p.maps, s.columns, s.patch);
    const auto first =
        torch::autograd::grad({y.pow(3).sum()}, {p.coefficients, p.maps}, {}, true, true);
    return torch::autograd::grad({first[0].square().sum() + first[1].square().sum()},
                                 {p.coefficients, p.maps});
  };
  const auto fast = second(mixed_maps), plain = second(mixed_maps_plain);
  EXPECT_LT(error(fast[0], plain[0]), 1e-4);  // ninth powers
  EXPECT_LT(error(fast[1], plain[1]), 1e-4);
}

TEST(MixedMaps, SameBitsForAnyNumberOfThreads) {
  const Sizes s = kSizes[1];
  const int before = at::get_num_threads();
  const auto with_threads = [&](int threads) {
    at::set_num_threads(threads);
    const Problem p = make_problem(s);
    const at::Tensor y = mixed_maps(p.coefficients, p.maps, s.columns, s.patch);
    auto all = torch::autograd::grad({(y * p.weight).sum()}, {p.coefficients, p.maps});
    all.push_back(y);
    return all;
  };
  const auto one = with_threads(1), two = with_threads(2);
  at::set_num_threads(before);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(one[i].equal(two[i]));
}

TEST(MixedMaps, RefusesShapesThatDoNotFit) {
  const at::Tensor g = at::randn({2, 12, 2, 2}), f = at::randn({2, 8, 4, 4});
  EXPECT_THROW(mixed_maps(g, f, 5, 1), std::invalid_argument);  // 12 coefficients of 5 columns
  EXPECT_THROW(mixed_maps(g, f, 4, 1), std::invalid_argument);  // 8 channels of 3 maps
  EXPECT_THROW(mixed_maps(g, f, 3, 2), std::invalid_argument);  // 2 values are not 2 x 2 pixels
  EXPECT_THROW(mixed_maps(g, f, 3, 0), std::invalid_argument);
  EXPECT_THROW(mixed_maps(g, f.narrow(0, 0, 1), 3, 1), std::invalid_argument);
  EXPECT_THROW(mixed_maps(g, f.select(0, 0), 3, 1), std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::nets
