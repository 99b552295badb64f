// How often orders found by a learned diagonal of s2 are right, on random additive noise models
// (after Rolland et al. 2022, section 5).
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <chrono>

#include "reproduce/reproduce.h"
#include "reproduce/shared/table.h"
#include "reproduce/shared/workers.h"
#include "scorejet/causal_order.h"
#include "src/base/seed.h"
#include "src/causal/additive_noise.h"
#include "src/io/atomic_file.h"

namespace scorejet::reproduce {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kNodes = 10;
constexpr int64_t kGraphs = 10;  // a repetition

struct CausalSetting {
  const char* name;
  causal::Graph graph;
  double edges_per_node;
  int64_t rows;
};

constexpr CausalSetting kSettings[] = {
    {"ER1", causal::Graph::kErdosRenyi, 1, 1000}, {"ER4", causal::Graph::kErdosRenyi, 4, 1000},
    {"SF1", causal::Graph::kScaleFree, 1, 1000},  {"SF4", causal::Graph::kScaleFree, 4, 1000},
    {"ER1", causal::Graph::kErdosRenyi, 1, 2000}, {"ER4", causal::Graph::kErdosRenyi, 4, 2000}};

// The diagonal of the Hessian of log p at the rows of x by Stein's identities of order one and two
// in a Gaussian kernel's space, ridge 0.001. See: Rolland et al. 2022, section 3.2.
at::Tensor stein_diagonal(const at::Tensor& x) {
  constexpr double kRidge = 0.001;
  const at::Tensor squares = at::cdist(x, x).square();
  const double width2 = std::pow(squares.sqrt().median().item<double>(), 2);
  const at::Tensor kernel = (squares / (-2 * width2)).exp();
  const at::Tensor ones = at::ones({x.size(0)}, x.options());
  std::vector<at::Tensor> first, second;  // sums over the points of ∂_j k and ∂_jj k
  for (int64_t j = 0; j < x.size(1); ++j) {
    const at::Tensor difference = x.select(1, j).unsqueeze(1) - x.select(1, j);
    first.push_back(at::matmul(kernel * difference, ones) / width2);
    second.push_back(
        at::matmul(kernel * (difference.square() / (width2 * width2) - 1 / width2), ones));
  }
  const at::Tensor ridged = kernel + kRidge * std::sqrt(width2) * at::eye(x.size(0), x.options());
  const at::Tensor solved =
      at::linalg_solve(ridged, at::cat({at::stack(first, 1), at::stack(second, 1)}, 1));
  const int64_t d = x.size(1);
  return solved.narrow(1, d, d) - solved.narrow(1, 0, d).square();
}

Json judge_order(const CausalSetting& setting, uint64_t seed) {
  const causal::AdditiveNoiseModel truth({.graph = setting.graph,
                                          .num_nodes = kNodes,
                                          .edges_per_node = setting.edges_per_node,
                                          .seed = seed});
  const at::Tensor x = truth.sample(setting.rows, base::make_generator(seed, "rows"));
  const at::Tensor standard = (x - x.mean(0)) / x.std(0);
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<std::string> names(static_cast<size_t>(kNodes), "x");
  const causal::CausalOrder learned = causal::causal_order(x, names, {.seed = seed});
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  const auto stein = causal::remove_leaves(kNodes, [&](const std::vector<int64_t>& present) {
    return stein_diagonal(standard.index_select(1, at::tensor(present, at::kLong)));
  });
  const auto exact = causal::remove_leaves(kNodes, [&](const std::vector<int64_t>& present) {
    return truth.hessian_diagonal(x, present);
  });
  return {{"edges", truth.num_edges()},
          {"learned", truth.order_divergence(learned.order)},
          {"stein", truth.order_divergence(stein.order)},
          {"exact", truth.order_divergence(exact.order)},
          {"seconds", seconds.count()}};
}

Json summarise(const CausalSetting& setting, const std::vector<Json>& graphs) {
  const auto column = [&](const char* name) {
    std::vector<double> values;
    for (const Json& one : graphs) values.push_back(one.at(name).get<double>());
    return values;
  };
  double right = 0;
  for (const double wrong : column("learned")) right += wrong == 0;
  const Spread learned = spread(column("learned")), stein = spread(column("stein"));
  const double edges = spread(column("edges")).mean;
  return {{"graphs", setting.name},
          {"rows", setting.rows},
          {"edges", edges},
          {"random", edges / 2},
          {"learned", learned.mean},
          {"learned_std", learned.deviation},
          {"learned_right", right / static_cast<double>(graphs.size())},
          {"stein", stein.mean},
          {"stein_std", stein.deviation},
          {"exact", spread(column("exact")).mean},
          {"seconds", spread(column("seconds")).mean}};
}

// Writes table.{csv,json,md}: the edges against the order (order divergence), on average over
// graphs, for the learned curvature, the Stein kernel estimate of Rolland et al., the exact one and
// an order at random; and journal.jsonl, from which an interrupted run goes on.
void causal_order(const ReproduceOptions& options) {
  const auto graphs = static_cast<uint64_t>(kGraphs * options.seeds);
  std::vector<Task> tasks;
  for (const CausalSetting& setting : kSettings) {
    if (options.fast && setting.rows > 1000) continue;
    for (uint64_t seed = 0; seed < graphs; ++seed) {
      tasks.push_back({fmt::format("causal {} {} rows seed {}", setting.name, setting.rows, seed),
                       [setting, seed] { return judge_order(setting, seed); }});
    }
  }
  const std::vector<Json> results =
      run_tasks("causal orders", tasks, options.out / "journal.jsonl");
  Rows table;
  auto next = results.begin();
  for (const CausalSetting& setting : kSettings) {
    if (next == results.end()) break;
    const auto end = next + static_cast<std::ptrdiff_t>(graphs);
    table.push_back(summarise(setting, {next, end}));
    next = end;
  }
  write_table(options.out / "table", table);
  const std::string text = "# Edges against the order\n\n" + markdown_table(table);
  io::write_file(options.out / "table.md", text);
  fmt::print("{}\n{}\n", text, (options.out / "table.md").string());
}

}  // namespace

Experiment causal_order_experiment() {
  return {"causal-order", "how often causal orders by a learned diagonal of s2 are right",
          causal_order};
}

}  // namespace scorejet::reproduce
