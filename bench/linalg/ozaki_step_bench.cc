// What an Ozaki step costs beside the network that it follows: one table, medians of alternated
// repetitions; the share of the fastest ones beside it, for machines that others use too. Change
// the problem in make_problem(), what is timed in main(). Usage: ozaki_step_bench [chains]
// [threads]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <vector>

#include "scorejet/score_model.h"
#include "src/base/threads.h"
#include "src/linalg/matrix_function.h"

namespace {

using namespace scorejet;
using linalg::SymmetricOperator;

constexpr int64_t kSide = 28, kDim = kSide * kSide, kRank = 50;
constexpr int kRepetitions = 9;
constexpr int64_t kDenseChains = 2;  // timed, then scaled to all
constexpr double kTolerance = 1e-5;

double milliseconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double least(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

struct Problem {
  SymmetricOperator hessian;
  at::Tensor vectors;  // [C, D, 2]
};

// The spectrum of a trained image model: a in [-4, -0.5], and r columns of decaying size that lift
// a few eigenvalues to about +1.
Problem make_problem(int64_t chains) {
  torch::manual_seed(1);
  const at::Tensor a = -0.5 - 3.5 * at::rand({chains, kDim});
  const at::Tensor size = 1.8 * at::exp(-0.1 * at::arange(kRank)) / std::sqrt(double{kDim});
  // Columns in memory, as the network writes them.
  const at::Tensor factor = (at::randn({chains, kRank, kDim}) * size.unsqueeze(-1)).transpose(1, 2);
  return {SymmetricOperator::from_low_rank(a, factor), at::randn({chains, kDim, 2})};
}

std::vector<linalg::ScalarFunction> ozaki_functions(double epsilon) {
  return {
      [=](const at::Tensor& t) { return epsilon * linalg::phi1(epsilon * t); },
      [=](const at::Tensor& t) { return (2 * epsilon * linalg::phi1(2 * epsilon * t)).sqrt(); }};
}

// The step without this library's help: H formed, eigh, in float32.
at::Tensor by_definition(const SymmetricOperator& op,
                         const std::vector<linalg::ScalarFunction>& functions,
                         const at::Tensor& v) {
  const auto [values, q] = at::linalg_eigh(op.dense());
  std::vector<at::Tensor> f;
  for (const auto& function : functions) f.push_back(function(values));
  return at::matmul(q, at::stack(f, -1) * at::matmul(q.transpose(1, 2), v));
}

models::ScoreModel make_model() {
  models::ScoreModelOptions options;
  options.network.kind = "unet";
  options.network.dim = kDim;
  options.network.image_shape = {1, kSide, kSide};
  options.network.rank = kRank;
  options.network.unet.channels = 16;
  return {options, at::zeros({kDim}), at::ones({kDim})};
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t chains = argc > 1 ? std::atoll(argv[1]) : 64;
  base::restart_with_known_blas(argv);
  base::configure_process();
  if (argc > 2) at::set_num_threads(std::atoi(argv[2]));
  at::NoGradGuard no_grad;
  const models::ScoreModel model = make_model();
  const at::Tensor x = at::randn({chains, kDim});
  const Problem problem = make_problem(chains);
  const SymmetricOperator exact =
      SymmetricOperator::from_dense(problem.hessian.slice(0, kDenseChains).dense().to(at::kDouble));
  const at::Tensor exact_vectors = problem.vectors.narrow(0, 0, kDenseChains).to(at::kDouble);
  fmt::print("{} chains, D = {}, r = {}, float32, tolerance {}, {} threads, medians of {}\n\n",
             chains, kDim, kRank, kTolerance, at::get_num_threads(), kRepetitions);
  fmt::print(
      "| eps | U-Net s1+s2 ms | Ozaki step ms | share (fastest) | dense ms | dense/step | error | "
      "estimate | Krylov steps |\n|---|---|---|---|---|---|---|---|---|\n");
  for (double epsilon : {0.05, 0.2, 0.5, 1.0, 2.0}) {
    const auto functions = ozaki_functions(epsilon);
    std::vector<double> network, step, by_eigh;
    linalg::MatrixFunctionResult result;
    for (int i = 0; i <= kRepetitions; ++i) {
      const double t0 = milliseconds([&] { model.evaluate(x, 0.5, 2); });
      // Written anew, as the network has just written it.
      const auto hessian = SymmetricOperator::from_low_rank(
          problem.hessian.diagonal_part(),
          problem.hessian.factor().transpose(1, 2).clone().transpose(1, 2));
      const double t1 = milliseconds([&] {
        result =
            linalg::apply_functions(hessian, functions, problem.vectors, {.tolerance = kTolerance});
      });
      const double t2 = milliseconds([&] {
        by_definition(hessian.slice(0, kDenseChains), functions,
                      problem.vectors.narrow(0, 0, kDenseChains));
      });
      if (i == 0) continue;  // warms caches and pages
      network.push_back(t0);
      step.push_back(t1);
      by_eigh.push_back(t2 * static_cast<double>(chains) / kDenseChains);
    }
    const at::Tensor truth = linalg::apply_functions(exact, functions, exact_vectors).values;
    const at::Tensor difference =
        (result.values.narrow(0, 0, kDenseChains).to(at::kDouble) - truth).norm(2, 1);
    const double error = (difference / truth.norm(2, 1)).max().item<double>();
    fmt::print(
        "| {} | {:.1f} | {:.2f} | {:.1f} % ({:.1f} %) | {:.0f} | {:.0f} | {:.1e} | {:.1e} | {} |\n",
        epsilon, median(network), median(step), 100 * median(step) / median(network),
        100 * least(step) / least(network), median(by_eigh), median(by_eigh) / median(step), error,
        result.error, result.steps);
  }
  return 0;
}
