// What is peculiar to a network, and refusals; what all families must do is conformance_test.cc.
#include "src/nets/network.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "scorejet/network_options.h"
#include "tests/scratch.h"

namespace scorejet::nets {
namespace {

using testing::error_of;

NetworkOptions options_of(const std::string& kind, bool share_trunk) {
  NetworkOptions options;
  options.kind = kind;
  options.dim = 3 * 8 * 12;
  options.image_shape = {3, 8, 12};
  options.rank = 5;
  options.mlp.width = 32;
  options.unet.channels = 8;
  options.share_trunk = share_trunk;
  return options;
}

TEST(Network, AUNetsFactorTakesItsSizeFromOneNumber) {
  torch::manual_seed(5);
  const auto network = make_network(options_of("unet", true));
  const auto features = network->features(torch::randn({4, 288}), torch::zeros({4}), 2);
  const at::Tensor before = network->second_head(features.second).factor.detach();
  EXPECT_GT(before.abs().max().item<float>(), 0);
  torch::NoGradGuard no_grad;
  network->named_parameters()["s2_gain.bias"].fill_(std::log(3.0));
  const at::Tensor after = network->second_head(features.second).factor;
  EXPECT_TRUE(after.allclose(3 * before, 1e-5, 1e-6));
}

// In float32 on the CPU a U-Net takes its own loops and calls oneDNN by name, in float64 the plain
// operations. Twenty layers of float32 roundings: 1e-4 of the largest.
TEST(Network, AUNetsFastPathsAreItsOperationsInFloat64) {
  torch::manual_seed(6);
  for (const auto& [height, width] : std::vector<std::pair<int64_t, int64_t>>{{8, 12}, {16, 8}}) {
    const auto trained = make_network(options_of("unet", true));
    const auto network = dynamic_cast<const Resizable&>(*trained).resized(height, width);
    const at::Tensor input = torch::randn({3, 3 * height * width});
    const auto evaluate = [&](at::ScalarType type) {
      network->to(type);
      const at::Tensor x = input.to(type).requires_grad_(), noise = torch::zeros({3}, type);
      const auto heads = [&] {
        const auto second = network->second_head(network->features(x, noise, 2).second);
        return std::vector<at::Tensor>{second.diagonal, second.factor};
      };
      std::vector<at::Tensor> all = heads();
      const at::Tensor sum = all[0].square().sum() + all[1].square().sum();
      all.push_back(torch::autograd::grad({sum}, {x})[0]);
      torch::NoGradGuard no_grad;
      for (const at::Tensor& y : heads()) all.push_back(y);
      for (at::Tensor& y : all) y = y.detach().to(at::kDouble);
      return all;
    };
    const auto fast = evaluate(at::kFloat), exact = evaluate(at::kDouble);
    for (size_t i = 0; i < fast.size(); ++i) {
      const double largest = exact[i].abs().max().item<double>();
      EXPECT_GT(largest, 0);
      EXPECT_LT((fast[i] - exact[i]).abs().max().item<double>(), 1e-4 * largest) << i;
    }
  }
}

TEST(Network, RefusesNamingTheOption) {
  const auto error = [](const auto& change) {
    NetworkOptions options = options_of("unet", true);
    change(options);
    return error_of([&] { make_network(options); });
  };
  const auto expect = [](const std::string& message, const char* part) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect(error([](NetworkOptions& o) { o.kind = "unnet"; }), "nearest: \"unet\"");
  expect(error([](NetworkOptions& o) { o.rank = 289; }), "model.rank must be at most D = 288");
  expect(error([](NetworkOptions& o) { o.unet.channels = 0; }), "model.channels");
  expect(error([](NetworkOptions& o) {
           o.s3 = Structure::kLowRank;
           o.s3_rank = 0;
         }),
         "model.s3_rank");
  expect(error([](NetworkOptions& o) { o.s3 = Structure::kFull; }),
         "model.s3 = \"full\" needs an mlp");
  expect(error([](NetworkOptions& o) {
           o.s3 = Structure::kDiagonal;
           o.s2 = Structure::kNone;
         }),
         "model.s3 needs a model.s2");
  expect(error([](NetworkOptions& o) { o.unet.levels = 4; }), "8 x 12");
  expect(error([](NetworkOptions& o) { o.unet.levels = 99; }), "model.levels must be at most");
  expect(error([](NetworkOptions& o) { o.image_shape = {}; }), "needs images");
  expect(error([](NetworkOptions& o) { o.s2 = Structure::kFull; }), "needs an mlp");
}

}  // namespace
}  // namespace scorejet::nets
