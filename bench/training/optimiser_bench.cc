// The optimiser's pass against a copy, in bytes that must move. A parameter's are 4 each: the norm
// reads the gradient (4); Adam with the average reads gradient, value, two moments and average and
// writes all but the gradient (36). Zeroing the gradient is not in it. A copy reads and writes (8);
// "loop" is a plain loop over as many threads, "memcpy" the C library's, which past a size writes
// around the cache and so need not read what it overwrites.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/utils.h>

#include <cstring>

#include "src/base/parallel.h"
#include "src/base/threads.h"
#include "src/training/optimiser.h"

namespace {

using namespace scorejet;

enum class What { kCopyLoop, kMemcpy, kAdam, kAdamPlain, kClippedAdam, kClippedAdamPlain };

struct Task {
  const char* name;
  What what;
  int64_t bytes;  // a parameter
};

// Not turned into a call of memcpy.
__attribute__((optimize("no-tree-loop-distribute-patterns"))) void copy_loop(
    float* __restrict to, const float* __restrict from, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = from[i];
}

// Clipping as the plain form has it: the norm, then the gradient scaled in place.
void clip_plain(const at::Tensor& gradients, const training::FlatParameters::Range& all) {
  const at::Tensor norm = training::range_norm_plain(gradients, {all});
  at::Tensor(gradients).mul_((1e6 / norm).clamp_max(1));
}

void run(benchmark::State& state, const Task& task) {
  const int64_t size = state.range(0);
  at::set_num_threads(static_cast<int>(state.range(1)));
  torch::manual_seed(1);
  const at::Tensor values = at::randn({size}), gradients = at::randn({size});
  const training::FlatParameters::Range all{0, size};
  training::AdamState adam = training::make_adam_state(values);
  const auto copy = [&](auto&& body) {
    const float* from = gradients.data_ptr<float>();
    float* to = values.data_ptr<float>();
    base::parallel_for(size, 1 << 14, [&](int64_t begin, int64_t end) {
      body(to + begin, from + begin, end - begin);
    });
  };
  for (auto _ : state) {
    switch (task.what) {
      case What::kCopyLoop:
        copy(copy_loop);
        break;
      case What::kMemcpy:
        copy([](float* to, const float* from, int64_t count) {
          std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
        });
        break;
      case What::kAdam:
        training::adam_step(adam, values, gradients, 1e-3, 0.999);
        break;
      case What::kAdamPlain:
        training::adam_step_plain(adam, values, gradients, 1e-3, 0.999);
        break;
      case What::kClippedAdam: {
        const at::Tensor norm = training::range_norm(gradients, {all});
        training::adam_step(adam, values, gradients, 1e-3, 0.999,
                            {{all, norm.reciprocal().clamp_max(1)}});
        break;
      }
      case What::kClippedAdamPlain:
        clip_plain(gradients, all);
        training::adam_step_plain(adam, values, gradients, 1e-3, 0.999);
        break;
    }
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * size * task.bytes);
}

}  // namespace

int main(int argc, char** argv) {
  base::restart_with_known_blas(argv);
  base::configure_process();
  const int64_t all = base::num_threads();
  for (const Task& task :
       {Task{"copy/loop", What::kCopyLoop, 8}, Task{"copy/memcpy", What::kMemcpy, 8},
        Task{"adam/fused", What::kAdam, 36}, Task{"adam/plain", What::kAdamPlain, 36},
        Task{"clipped_adam/fused", What::kClippedAdam, 40},
        Task{"clipped_adam/plain", What::kClippedAdamPlain, 40}}) {
    auto* entry = benchmark::RegisterBenchmark(
        task.name, [task](benchmark::State& state) { run(state, task); });
    entry->ArgNames({"P", "threads"})->Unit(benchmark::kMillisecond);
    entry->MeasureProcessCPUTime()->UseRealTime();
    for (const int64_t size : {int64_t{300000}, int64_t{5000000}}) {
      entry->Args({size, 1});
      if (all > 1) entry->Args({size, all});
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
