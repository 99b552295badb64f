// What every family of networks must do, over families_under_test(): outputs of the promised shapes
// for every structure that it takes, features that follow σ, rows that do not see each other, and
// parameters declared to the order that they serve.
#include "tests/nets/conformance.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <set>

#include "src/nets/network.h"

namespace scorejet::nets {
namespace {

constexpr int64_t kDim = 3 * 8 * 12;

// Every combination of options; a family may refuse some, not all.
std::vector<NetworkShape> all_shapes() {
  std::vector<NetworkShape> shapes;
  for (const Structure s2 : {Structure::kLowRank, Structure::kDiagonal, Structure::kNone}) {
    for (const Structure s3 : {Structure::kNone, Structure::kDiagonal, Structure::kLowRank}) {
      for (const bool share : {true, false}) {
        for (const bool first : {true, false}) {
          if (s2 == Structure::kNone && (s3 != Structure::kNone || !first)) continue;
          shapes.push_back({.dim = kDim,
                            .image_shape = {3, 8, 12},
                            .first = first,
                            .s2 = s2,
                            .rank = 5,
                            .s3 = s3,
                            .s3_rank = 3,
                            .share_trunk = share});
        }
      }
    }
  }
  return shapes;
}

std::string describe(const Family& family, const NetworkShape& shape) {
  return fmt::format("{}: first {}, s2 {}, s3 {}, share_trunk {}", family.name(), shape.first,
                     structure_name(shape.s2), structure_name(shape.s3), shape.share_trunk);
}

// Calls `check` with every network that the families make, a seed apart.
void for_each_network(
    const std::function<void(Network&, const NetworkShape&, const std::string&)>& check) {
  ASSERT_FALSE(families_under_test().empty());
  for (const Family* family : families_under_test()) {
    int made = 0;
    for (const NetworkShape& shape : all_shapes()) {
      torch::manual_seed(5);
      std::shared_ptr<Network> network;
      try {
        network = family->make(shape);
      } catch (const std::invalid_argument& refusal) {
        EXPECT_NE(std::string(refusal.what()).find("model."), std::string::npos) << refusal.what();
        continue;
      }
      ++made;
      check(*network, shape, describe(*family, shape));
    }
    EXPECT_GE(made, 4) << family->name() << " must take low_rank, diagonal and none";
  }
}

int64_t highest_order(const NetworkShape& shape) {
  if (shape.s3 != Structure::kNone) return 3;
  return shape.s2 == Structure::kNone ? 1 : 2;
}

// Every output of one order from features that are held constant, as one list.
std::vector<at::Tensor> outputs_of(Network& network, const Features& features, int order) {
  std::vector<at::Tensor> all;
  if (order == 1) return {network.first_head(features.first)};
  if (order == 2) {
    const HessianOutputs out = network.second_head(features.second);
    all = {out.diagonal, out.factor};
  } else {
    const ThirdOutputs out = network.third_head(features.third);
    all = {out.diagonal, out.weights, out.factor};
  }
  std::erase_if(all, [](const at::Tensor& t) { return !t.defined(); });
  return all;
}

TEST(NetworkConformance, HeadsHaveTheirShapes) {
  const at::Tensor x = torch::randn({4, kDim}), noise = torch::zeros({4});
  for_each_network([&](Network& network, const NetworkShape& shape, const std::string& which) {
    const int order = static_cast<int>(highest_order(shape));
    const Features features = network.features(x, noise, order);
    if (shape.first) {
      EXPECT_EQ(network.first_head(features.first).sizes(), x.sizes()) << which;
    }
    if (order < 2) return;
    if (shape.first) {
      EXPECT_EQ(features.first.is_same(features.second), shape.share_trunk) << which;
    }
    const HessianOutputs second = network.second_head(features.second);
    EXPECT_EQ(second.diagonal.sizes(), x.sizes()) << which;
    EXPECT_EQ(second.factor.defined(), shape.s2 == Structure::kLowRank) << which;
    if (second.factor.defined()) {
      EXPECT_EQ(second.factor.sizes(), (at::IntArrayRef{4, kDim, 5})) << which;
    }
    EXPECT_FALSE(network.features(x, noise, 2).third.defined()) << which;
    if (order < 3) return;
    EXPECT_TRUE(features.third.equal(network.third_features(x, noise))) << which;
    const ThirdOutputs third = network.third_head(features.third);
    EXPECT_EQ(third.diagonal.sizes(), x.sizes()) << which;
    EXPECT_EQ(third.weights.defined(), shape.s3 == Structure::kLowRank) << which;
    if (!third.weights.defined()) return;
    EXPECT_EQ(third.weights.sizes(), (at::IntArrayRef{4, 3})) << which;
    EXPECT_EQ(third.factor.sizes(), (at::IntArrayRef{4, kDim, 3})) << which;
  });
}

// Rows of float32 may go through other kernels in a batch of another size: 1e-5 of the largest.
TEST(NetworkConformance, FeaturesFollowSigmaAndTheirOwnRowAlone) {
  const at::Tensor x = torch::randn({4, kDim});
  for_each_network([&](Network& network, const NetworkShape&, const std::string& which) {
    const at::Tensor quiet = network.features(x, torch::zeros({4}), 1).first;
    const at::Tensor loud = network.features(x, torch::full({4}, 0.5), 1).first;
    EXPECT_FALSE(quiet.allclose(loud)) << which << ": sigma must matter";
    const at::Tensor alone = network.features(x.narrow(0, 1, 1), torch::zeros({1}), 1).first;
    const double difference = (alone[0] - quiet[1]).abs().max().item<double>();
    EXPECT_LT(difference, 1e-5 * quiet.abs().max().item<double>()) << which;
  });
}

// Orders one and two start from the same weights with a third order and without.
TEST(NetworkConformance, AThirdOrderLeavesTheOthersAlone) {
  for (const Family* family : families_under_test()) {
    for (NetworkShape shape : all_shapes()) {
      if (shape.s3 == Structure::kNone) continue;
      try {
        torch::manual_seed(7);
        const auto with = family->make(shape);
        shape.s3 = Structure::kNone;
        torch::manual_seed(7);
        const auto without = family->make(shape);
        for (const auto& item : without->named_parameters()) {
          EXPECT_TRUE(item.value().equal(with->named_parameters()[item.key()])) << item.key();
        }
      } catch (const std::invalid_argument&) {
        continue;
      }
    }
  }
}

std::set<const void*> parameters_with_gradient(const Network& network) {
  std::set<const void*> reached;
  for (at::Tensor p : network.parameters()) {
    if (p.grad().defined() && p.grad().abs().sum().item<double>() > 0) {
      reached.insert(p.unsafeGetTensorImpl());
    }
    p.mutable_grad() = at::Tensor();
  }
  return reached;
}

// What training relies on: whatever the first order does not use is declared the own of order 2 or
// 3, a trunk of its own included, and nothing that it uses is. A family that forgets to would have
// its head clipped with the shared trunk and frozen with s1.
TEST(NetworkConformance, DeclaresTheParametersThatServeOneOrderAlone) {
  const at::Tensor x = torch::randn({4, kDim}), noise = torch::zeros({4});
  for_each_network([&](Network& network, const NetworkShape& shape, const std::string& which) {
    {
      torch::NoGradGuard no_grad;  // heads start at zero, and would pass no gradient on
      for (at::Tensor p : network.parameters()) p.add_(0.1 * torch::randn_like(p));
    }
    const auto used = [&](int order) {
      Features features = network.features(x, noise, static_cast<int>(highest_order(shape)));
      if (order == 1 && !shape.first) {
        features.first.sum().backward();
      } else {
        if (order == 2) features.second = features.second.detach();
        if (order == 3) features.third = features.third.detach();
        at::Tensor sum = torch::zeros({});
        for (const at::Tensor& y : outputs_of(network, features, order)) sum = sum + y.sum();
        sum.backward();
      }
      return parameters_with_gradient(network);
    };
    const std::set<const void*> by_first = used(1);
    std::set<const void*> own;
    for (int order = 2; order <= highest_order(shape); ++order) {
      std::set<const void*> declared;
      for (const at::Tensor& p : network.own_parameters(order)) {
        declared.insert(p.unsafeGetTensorImpl());
        EXPECT_EQ(by_first.count(p.unsafeGetTensorImpl()), 0u) << which << " order " << order;
      }
      for (const void* p : used(order)) {  // its head, as its features are held
        EXPECT_EQ(declared.count(p), 1u) << which << " order " << order;
      }
      own.insert(declared.begin(), declared.end());
    }
    for (const auto& item : network.named_parameters()) {
      const void* p = item.value().unsafeGetTensorImpl();
      EXPECT_EQ(own.count(p) + by_first.count(p), 1u) << which << " " << item.key();
    }
  });
}

}  // namespace
}  // namespace scorejet::nets
