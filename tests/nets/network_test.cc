// The networks: shapes of the heads, dependence on σ, separate trunks, refusals.
#include "src/nets/network.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <set>

#include "src/nets/network_options.h"
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

TEST(Network, HeadsHaveTheirShapesAndFollowSigma) {
  torch::manual_seed(5);
  const at::Tensor x = torch::randn({4, 288});
  for (const char* kind : {"mlp", "unet"}) {
    for (bool share : {true, false}) {
      const auto network = make_network(options_of(kind, share));
      const auto features = network->features(x, torch::zeros({4}), 2);
      EXPECT_EQ(features.first.is_same(features.second), share) << kind;
      EXPECT_EQ(network->first_head(features.first).sizes(), x.sizes());
      const HessianOutputs second = network->second_head(features.second);
      EXPECT_EQ(second.diagonal.sizes(), x.sizes());
      EXPECT_EQ(second.factor.sizes(), (at::IntArrayRef{4, 288, 5}));
      const auto louder = network->features(x, torch::full({4}, 0.5), 2);
      EXPECT_FALSE(louder.first.allclose(features.first)) << kind << ": sigma must matter";
    }
  }
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

TEST(Network, ThirdHeadHasItsShapesAndLeavesTheOthersAlone) {
  const at::Tensor x = torch::randn({4, 288}), noise = torch::zeros({4});
  for (const char* kind : {"mlp", "unet"}) {
    for (bool share : {true, false}) {
      NetworkOptions options = options_of(kind, share);
      torch::manual_seed(7);
      const auto without = make_network(options);
      options.s3 = Structure::kLowRank;
      options.s3_rank = 3;
      torch::manual_seed(7);
      const auto with = make_network(options);
      for (const auto& item : without->named_parameters()) {
        EXPECT_TRUE(item.value().equal(with->named_parameters()[item.key()])) << item.key();
      }
      const auto features = with->features(x, noise, 3);
      EXPECT_EQ(features.first.is_same(features.third), share) << kind;
      EXPECT_TRUE(features.third.equal(with->third_features(x, noise)));
      EXPECT_FALSE(with->features(x, noise, 2).third.defined());
      const ThirdOutputs third = with->third_head(features.third);
      EXPECT_EQ(third.diagonal.sizes(), x.sizes());
      EXPECT_EQ(third.weights.sizes(), (at::IntArrayRef{4, 3}));
      EXPECT_EQ(third.factor.sizes(), (at::IntArrayRef{4, 288, 3}));
      options.s3 = Structure::kDiagonal;
      const auto diagonal = make_network(options);
      EXPECT_FALSE(diagonal->third_head(diagonal->features(x, noise, 3).third).weights.defined());
    }
  }
}

// What training relies on: whatever the first order does not use is declared the own of order 2 or
// 3, a trunk of its own included, and nothing that it uses is. A family that forgets to would have
// its head clipped with the shared trunk and frozen with s1.
TEST(Network, DeclaresTheParametersThatServeOneOrderAlone) {
  NetworkOptions known;
  for (const Family* family : known.families()) {
    for (const bool share : {true, false}) {
      for (const bool first : {true, false}) {
        NetworkOptions options = options_of(family->name(), share);
        options.first = first;
        options.s3 = Structure::kLowRank;
        options.s3_rank = 3;
        const std::string which = fmt::format("{} {} {}", family->name(), share, first);
        const auto network = make_network(options);
        const at::Tensor x = torch::randn({4, 288}), noise = torch::zeros({4});
        const auto sum_of = [&](int order) {  // of every output of an order
          const auto features = network->features(x, noise, 3);
          if (order == 1) {
            return first ? network->first_head(features.first).sum() : features.first.sum();
          }
          if (order == 2) {
            const HessianOutputs out = network->second_head(features.second.detach());
            return out.diagonal.sum() + out.factor.sum();
          }
          const ThirdOutputs out = network->third_head(features.third.detach());
          return out.diagonal.sum() + out.weights.sum() + out.factor.sum();
        };
        const auto used = [&](int order) {
          std::set<const void*> reached;
          network->zero_grad();
          sum_of(order).backward();
          for (const at::Tensor& p : network->parameters()) {
            if (p.grad().defined() && p.grad().abs().sum().item<double>() > 0) {
              reached.insert(p.unsafeGetTensorImpl());
            }
          }
          network->zero_grad();
          for (at::Tensor p : network->parameters()) p.mutable_grad() = at::Tensor();
          return reached;
        };
        torch::NoGradGuard no_grad;
        for (at::Tensor p : network->parameters()) p.add_(0.1 * torch::randn_like(p));
        torch::AutoGradMode enabled(true);
        const auto by_first = used(1);
        std::set<const void*> own;
        for (const int order : {2, 3}) {
          std::set<const void*> declared;
          for (const at::Tensor& p : network->own_parameters(order)) {
            declared.insert(p.unsafeGetTensorImpl());
            EXPECT_EQ(by_first.count(p.unsafeGetTensorImpl()), 0u) << which << " order " << order;
          }
          for (const void* p : used(order)) {  // its head, as its features are held
            EXPECT_EQ(declared.count(p), 1u) << which << " order " << order;
          }
          own.insert(declared.begin(), declared.end());
        }
        for (const auto& item : network->named_parameters()) {
          const void* p = item.value().unsafeGetTensorImpl();
          EXPECT_EQ(own.count(p) + by_first.count(p), 1u) << which << " " << item.key();
        }
      }
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
