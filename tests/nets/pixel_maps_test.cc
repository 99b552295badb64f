// Maps to pixels in one pass against at::pixel_shuffle, which moves the same numbers.
#include "src/nets/pixel_maps.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

namespace scorejet::nets {
namespace {

TEST(PixelsOf, EqualsPixelShuffleAndItsGradient) {
  torch::manual_seed(51);
  for (const int64_t patch : {1, 2, 3}) {
    for (const auto& [n, colours, height, width] :
         std::vector<std::array<int64_t, 4>>{{1, 1, 1, 1}, {2, 5, 3, 4}, {3, 40, 7, 2}}) {
      const std::vector<int64_t> shape{n, colours * patch * patch, height, width};
      for (const auto format : {at::MemoryFormat::ChannelsLast, at::MemoryFormat::Contiguous}) {
        const at::Tensor maps = at::randn(shape).contiguous(format).requires_grad_();
        const at::Tensor pixels = pixels_of(maps, patch), expected = pixels_of_plain(maps, patch);
        EXPECT_TRUE(pixels.equal(expected));
        EXPECT_TRUE(pixels.is_contiguous());
        const at::Tensor weight = at::randn_like(pixels);
        const auto gradient = [&](const at::Tensor& of, bool create_graph) {
          return torch::autograd::grad({(of * weight).sum()}, {maps}, {}, true, create_graph)[0];
        };
        EXPECT_TRUE(gradient(pixels, false).equal(gradient(expected, false)));
        EXPECT_TRUE(gradient(pixels, true).equal(gradient(expected, false)));
        const at::NoGradGuard no_grad;
        EXPECT_TRUE(pixels_of(maps, patch).equal(expected));
      }
    }
  }
}

TEST(PixelsOf, TakesMapsAmongOthers) {
  torch::manual_seed(54);
  for (const auto format : {at::MemoryFormat::ChannelsLast, at::MemoryFormat::Contiguous}) {
    const at::Tensor all = at::randn({2, 20, 3, 5}).contiguous(format);
    for (const int64_t first : {0, 7, 12}) {
      const at::Tensor some = all.narrow(1, first, 8);
      EXPECT_TRUE(pixels_of(some, 2).equal(pixels_of_plain(some, 2)));
    }
  }
}

TEST(PixelsOf, IsDifferentiableTwice) {
  torch::manual_seed(52);
  const auto second = [&](auto&& function) {
    torch::manual_seed(53);
    const at::Tensor maps =
        at::randn({2, 8, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast).requires_grad_();
    const auto first =
        torch::autograd::grad({function(maps, 2).pow(3).sum()}, {maps}, {}, true, true)[0];
    return torch::autograd::grad({first.square().sum()}, {maps})[0];
  };
  const at::Tensor expected = second(pixels_of_plain);
  EXPECT_GT(expected.abs().max().item<double>(), 0);
  EXPECT_TRUE(second(pixels_of).allclose(expected));
}

TEST(PixelsOf, RefusesChannelsThatThePatchDoesNotDivide) {
  const at::Tensor maps = at::randn({1, 6, 2, 2}).contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_THROW(pixels_of(maps, 2), c10::Error);
}

}  // namespace
}  // namespace scorejet::nets
