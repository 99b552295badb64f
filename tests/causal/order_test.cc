// Causal orders: the random models against automatic differentiation, the criterion with the exact
// curvature, and the learned curvature on seeded models.
#include "scorejet/causal_order.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "src/base/seed.h"
#include "src/causal/additive_noise.h"
#include "tests/scratch.h"

namespace scorejet::causal {
namespace {

using testing::error_of;

std::vector<std::string> letters(int64_t count) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < count; ++i) names.emplace_back(1, static_cast<char>('a' + i));
  return names;
}

at::Tensor rows(const AdditiveNoiseModel& model, int64_t count, uint64_t seed) {
  return model.sample(count, base::make_generator(seed, "rows"));
}

CausalOrder exact_order(const AdditiveNoiseModel& model, const at::Tensor& x) {
  return remove_leaves(model.num_nodes(), [&](const std::vector<int64_t>& present) {
    return model.hessian_diagonal(x, present);
  });
}

TEST(AdditiveNoise, CurvatureIsThatOfTheLogDensity) {
  for (const bool linear : {false, true}) {
    const AdditiveNoiseModel model(
        {.num_nodes = 6, .edges_per_node = 2, .linear = linear, .seed = 1});
    const at::Tensor x = rows(model, 5, 1).requires_grad_();
    const at::Tensor s1 =
        torch::autograd::grad({model.log_density(x).sum()}, {x}, {}, true, true)[0];
    std::vector<at::Tensor> diagonal;
    for (int64_t j = 0; j < 6; ++j) {
      const at::Tensor row = torch::autograd::grad({s1.select(1, j).sum()}, {x}, {}, true)[0];
      diagonal.push_back(row.select(1, j));
    }
    const at::Tensor exact = model.hessian_diagonal(x.detach(), {0, 1, 2, 3, 4, 5});
    EXPECT_LT((exact - at::stack(diagonal, 1)).abs().max().item<double>(), 1e-10) << linear;
  }
}

// −2 log p less its normaliser is chi-squared with D degrees of freedom over the model's own draws:
// E log p = −½ Σ_j (1 + log 2π s_j²), with standard deviation √(D/2).
TEST(AdditiveNoise, SamplesAreOfTheDensity) {
  constexpr int64_t kCount = 20000;
  const AdditiveNoiseModel model({.num_nodes = 6, .edges_per_node = 2, .seed = 2});
  const at::Tensor x = rows(model, kCount, 2);
  double expected = 0;
  const CausalOrder order = exact_order(model, x.narrow(0, 0, 100));
  for (const Stage& stage : order.stages) {  // a leaf's entry is −1/s²
    const auto place = std::find(stage.present.begin(), stage.present.end(), stage.leaf);
    const at::Tensor entries = model.hessian_diagonal(x.narrow(0, 0, 1), stage.present);
    const double entry = entries[0][place - stage.present.begin()].item<double>();
    expected -= 0.5 * (1 + std::log(-2 * std::numbers::pi / entry));
  }
  const double last = model.hessian_diagonal(x.narrow(0, 0, 1), {order.order[0]}).item<double>();
  expected -= 0.5 * (1 + std::log(-2 * std::numbers::pi / last));
  const double bound = 5 * std::sqrt(6.0 / 2 / kCount);
  EXPECT_NEAR(model.log_density(x).mean().item<double>(), expected, bound);
  EXPECT_GT(std::abs(model.log_density(1.1 * x).mean().item<double>() - expected), bound);
}

TEST(AdditiveNoise, GraphsHaveTheEdgesAskedFor) {
  double edges = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    edges +=
        static_cast<double>(AdditiveNoiseModel({.edges_per_node = 2, .seed = seed}).num_edges());
    // The first two nodes have none and one: 0 + 1 + 2 · 8.
    EXPECT_EQ(AdditiveNoiseModel({.graph = Graph::kScaleFree, .edges_per_node = 2, .seed = seed})
                  .num_edges(),
              17);
  }
  // 100 · 45 pairs, each an edge with probability 4/9.
  const double p = 4.0 / 9;
  EXPECT_NEAR(edges, 4500 * p, 5 * std::sqrt(4500 * p * (1 - p)));
  EXPECT_THROW(AdditiveNoiseModel({.num_nodes = 1}), std::domain_error);
  EXPECT_THROW(AdditiveNoiseModel({.num_nodes = 4, .edges_per_node = 2}), std::domain_error);
}

TEST(RemoveLeaves, ExactCurvatureGivesATrueOrder) {
  int64_t reversed = 0;
  for (const Graph graph : {Graph::kErdosRenyi, Graph::kScaleFree}) {
    for (const double edges : {1.0, 2.0, 4.0}) {
      for (uint64_t seed = 0; seed < 10; ++seed) {
        const AdditiveNoiseModel model({.graph = graph, .edges_per_node = edges, .seed = seed});
        const CausalOrder found = exact_order(model, rows(model, 200, seed));
        EXPECT_EQ(model.order_divergence(found.order), 0);
        for (const Stage& stage : found.stages) {
          // Constant: rounding is all that its variance holds.
          EXPECT_LT(*std::min_element(stage.variances.begin(), stage.variances.end()), 1e-28);
        }
        std::vector<int64_t> back(found.order.rbegin(), found.order.rend());
        reversed += model.order_divergence(back) == model.num_edges();
      }
    }
  }
  EXPECT_EQ(reversed, 60);  // every edge goes against the reversed order
}

TEST(RemoveLeaves, TellsTheGapOfEachStage) {
  const at::Tensor x = at::tensor({-1.0, 1.0, -1.0, 1.0}).unsqueeze(1);
  const at::Tensor scales = at::tensor({3.0, 1.0, 2.0});
  const CausalOrder found = remove_leaves(3, [&](const std::vector<int64_t>& present) {
    return x * scales.index_select(0, at::tensor(present, at::kLong));
  });
  EXPECT_EQ(found.order, (std::vector<int64_t>{0, 2, 1}));
  ASSERT_EQ(found.stages.size(), 2);
  EXPECT_EQ(found.stages[0].leaf, 1);
  EXPECT_NEAR(found.stages[0].gap, 4, 1e-6);
  EXPECT_EQ(found.stages[1].present, (std::vector<int64_t>{0, 2}));
  EXPECT_NEAR(found.stages[1].gap, 9.0 / 4, 1e-6);
}

// With a learned curvature, on the sparsest and the densest graphs. An order at random goes against
// half of the edges.
TEST(CausalOrder, RecoversSeededModels) {
  int64_t wrong = 0, edges = 0;
  for (const double edges_per_node : {1.0, 4.0}) {
    const AdditiveNoiseModel model({.edges_per_node = edges_per_node, .seed = 0});
    const CausalOrder found = causal_order(rows(model, 1000, 0), letters(10), {});
    wrong += model.order_divergence(found.order);
    edges += model.num_edges();
  }
  EXPECT_LE(wrong, edges / 8) << edges << " edges";
}

TEST(CausalOrder, DependsOnDataAndSeedOnly) {
  const AdditiveNoiseModel model({.num_nodes = 3, .edges_per_node = 1, .seed = 3});
  const at::Tensor x = rows(model, 100, 3);
  const OrderOptions small{.steps = 20, .later_steps = 5, .seed = 7};
  const CausalOrder found = causal_order(x, letters(3), small);
  EXPECT_EQ(found.stages[0].variances, causal_order(x, letters(3), small).stages[0].variances);
  // Units say nothing: powers of two leave every bit of the standardised columns as it was.
  const at::Tensor units = at::tensor({8.0, 0.25, 1024.0}, at::kDouble);
  EXPECT_EQ(found.stages[0].variances,
            causal_order(x * units, letters(3), small).stages[0].variances);
  OrderOptions other = small;
  other.seed = 8;
  EXPECT_NE(found.stages[0].variances, causal_order(x, letters(3), other).stages[0].variances);
}

// Linear mechanisms have constant curvature: no variable can be told from a leaf.
TEST(CausalOrder, SaysNothingOfLinearModels) {
  const AdditiveNoiseModel model({.num_nodes = 5, .edges_per_node = 1, .linear = true, .seed = 4});
  const at::Tensor x = rows(model, 1000, 4);
  const CausalOrder exact = exact_order(model, x);
  for (const double variance : exact.stages[0].variances) {
    EXPECT_LT(variance, 1e-28);
  }
  const AdditiveNoiseModel curved({.num_nodes = 5, .edges_per_node = 1, .seed = 4});
  const OrderOptions options{.steps = 300, .later_steps = 1};
  const auto largest = [&](const at::Tensor& data) {
    const Stage stage = causal_order(data, letters(5), options).stages[0];
    return *std::max_element(stage.variances.begin(), stage.variances.end());
  };
  EXPECT_GT(largest(rows(curved, 1000, 4)), 3 * largest(x));
}

TEST(CausalOrder, NamesTheFault) {
  const at::Tensor x = at::randn({60, 3}, base::make_generator(1, "x"), at::kDouble);
  const auto error = [](const at::Tensor& data) {
    return error_of([&] { causal_order(data, letters(data.size(1)), {}); });
  };
  at::Tensor bad = x.clone();
  bad[4][2] = NAN;
  EXPECT_NE(error(bad).find("must be finite; got nan in row 5 of the data, column \"c\""),
            std::string::npos);
  bad = x.clone();
  bad.select(1, 1).fill_(0.1);
  EXPECT_NE(error(bad).find("column \"b\" is constant at 0.1"), std::string::npos);
  EXPECT_NE(error(x.narrow(1, 0, 1)).find("at least 2 columns; got 1"), std::string::npos);
  EXPECT_NE(error(x.narrow(0, 0, 49)).find("at least 50 rows; got 49"), std::string::npos);
  EXPECT_THROW(causal_order(x, letters(2), {}), std::invalid_argument);
  EXPECT_THROW(causal_order(x, letters(3), {.steps = 0}), std::domain_error);
}

}  // namespace
}  // namespace scorejet::causal
