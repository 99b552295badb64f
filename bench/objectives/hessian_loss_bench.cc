// The order-2 loss with its gradient, fused and in plain tensor operations, float32.
// Arguments: D, r, B, threads; "columns" is B's layout of the U-Net ([r, D] in memory), the rest
// that of the mlp. On a machine with other work compare CPU times at one thread, interleaved:
// --benchmark_repetitions=5 --benchmark_enable_random_interleaving=true.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include "src/base/threads.h"
#include "src/objectives/denoising.h"

namespace {

using namespace scorejet;
using linalg::SymmetricOperator;
using objectives::Form;

enum class What { kPlain, kFused, kFusedValue };

struct Setup {
  Form form;
  bool reduced;  // with variance reduction: three evaluations
  bool columns;
  What what;
};

struct Problem {
  at::Tensor s1, a, b, z, sigma;
};

Problem make_problem(int64_t dim, int64_t rank, int64_t batch, const Setup& setup) {
  torch::manual_seed(1);
  const int64_t n = setup.reduced ? 3 * batch : batch;
  Problem p;
  p.s1 = at::randn({n, dim});
  p.a = (-0.5 - at::rand({n, dim})).requires_grad_();
  const double size = 1 / std::sqrt(static_cast<double>(dim));
  p.b = setup.columns ? (size * at::randn({n, rank, dim})).transpose(1, 2)
                      : size * at::randn({n, dim, rank});
  p.b.requires_grad_();
  p.z = at::randn({batch, dim});
  p.sigma = at::full({batch}, 0.5);
  return p;
}

at::Tensor loss(const Problem& p, const Setup& setup) {
  const SymmetricOperator s2 = SymmetricOperator::from_low_rank(p.a, p.b);
  const bool plain = setup.what == What::kPlain;
  if (!setup.reduced) {
    return plain ? objectives::hessian_loss_plain(setup.form, p.s1, s2, p.z, p.sigma)
                 : objectives::hessian_loss(setup.form, p.s1, s2, p.z, p.sigma);
  }
  return plain ? objectives::hessian_loss_antithetic_plain(setup.form, p.s1, s2, p.z, p.sigma)
               : objectives::hessian_loss_antithetic(setup.form, p.s1, s2, p.z, p.sigma);
}

void run(benchmark::State& state, const Setup& setup) {
  const int64_t dim = state.range(0), rank = state.range(1), batch = state.range(2);
  at::set_num_threads(static_cast<int>(state.range(3)));
  const Problem p = make_problem(dim, rank, batch, setup);
  for (auto _ : state) {
    if (setup.what == What::kFusedValue) {
      const at::NoGradGuard no_grad;
      benchmark::DoNotOptimize(loss(p, setup).data_ptr<float>());
      continue;
    }
    const auto gradients = torch::autograd::grad({loss(p, setup).mean()}, {p.a, p.b});
    benchmark::DoNotOptimize(gradients[1].data_ptr<float>());
  }
}

void add(const std::string& name, const Setup& setup, const std::vector<std::vector<int64_t>>& at) {
  auto* entry = benchmark::RegisterBenchmark(
      name.c_str(), [setup](benchmark::State& state) { run(state, setup); });
  entry->ArgNames({"D", "r", "B", "threads"})
      ->Unit(benchmark::kMillisecond)
      ->MeasureProcessCPUTime()
      ->UseRealTime();
  for (const auto& args : at) entry->Args(args);
}

}  // namespace

int main(int argc, char** argv) {
  base::restart_with_known_blas(argv);
  base::configure_process();
  const int64_t all = base::num_threads();
  std::vector<std::vector<int64_t>> both{{784, 50, 64, 1}};
  if (all > 1) both.push_back({784, 50, 64, all});
  const std::vector<std::vector<int64_t>> shapes{
      {64, 5, 128, all}, {784, 20, 64, all}, {3072, 20, 32, all}, {3072, 50, 32, all}};
  for (const Form form : {Form::kCentred, Form::kProduct}) {
    for (const bool reduced : {true, false}) {
      for (const bool columns : {true, false}) {
        const std::string name = fmt::format("{}{}{}", form_name(form), reduced ? "_reduced" : "",
                                             columns ? "_columns" : "");
        auto at = both;
        if (form == Form::kCentred && reduced) at.insert(at.end(), shapes.begin(), shapes.end());
        add(name + "/plain", {form, reduced, columns, What::kPlain}, at);
        add(name + "/fused", {form, reduced, columns, What::kFused}, at);
        add(name + "/fused_value", {form, reduced, columns, What::kFusedValue}, {at[0]});
      }
    }
  }
  // How the cost grows with D, and with r.
  std::vector<std::vector<int64_t>> dims, ranks;
  for (const int64_t dim : {784, 3072, 12288, 49152}) dims.push_back({dim, 20, 4, 1});
  for (const int64_t rank : {5, 10, 20, 50, 100, 200}) ranks.push_back({784, rank, 8, 1});
  add("along_D/fused", {Form::kCentred, true, true, What::kFused}, dims);
  add("along_r/fused", {Form::kCentred, true, true, What::kFused}, ranks);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
