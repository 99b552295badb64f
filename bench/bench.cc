#include "bench/bench.h"

#include <ATen/ATen.h>
#include <torch/cuda.h>

#include <algorithm>

#include "bench/counted_work.h"
#include "bench/timing.h"
#include "src/base/check.h"
#include "src/base/progress.h"
#include "src/base/threads.h"

namespace scorejet::bench {
namespace {

// A matrix product, convolutions of three widths, a copy of more than any cache holds.
std::vector<BenchCase> peak_cases(at::Device device) {
  std::vector<BenchCase> cases;
  const at::Tensor a = at::rand({1024, 1024}, device), b = at::rand({1024, 1024}, device);
  at::Tensor c = at::empty_like(a);
  cases.push_back({"machine", "1024", [=]() mutable { at::mm_out(c, a, b); }, Peak::kGemm, 0});
  for (const int64_t channels : {32, 64, 128}) {
    const auto format = at::MemoryFormat::ChannelsLast;
    const at::Tensor x = at::rand({64, channels, 28, 28}, device).contiguous(format);
    const at::Tensor weight = at::rand({channels, channels, 3, 3}, device).contiguous(format);
    cases.push_back({"machine", std::to_string(channels), [=] { at::conv2d(x, weight, {}, 1, 1); },
                     Peak::kConvolution, 0});
  }
  for (BenchCase& one : cases) one.work = count_flops(one.run);
  const at::Tensor from = at::rand({int64_t{1} << 24}, device), to = at::empty_like(from);
  cases.push_back({"machine", "64 MiB", [=] { to.copy_(from); }, Peak::kCopy,
                   2 * static_cast<double>(from.nbytes())});
  return cases;
}

}  // namespace

const char* peak_name(Peak peak) {
  constexpr const char* kNames[] = {"GEMM", "convolution", "copy"};
  return kNames[static_cast<int>(peak)];
}

BenchReport run_bench(const std::vector<BenchCase>& cases, double seconds, at::Device device) {
  base::check_positive("bench::run_bench", "seconds", seconds);
  std::vector<BenchCase> all = peak_cases(device);
  const size_t num_peaks = all.size();
  all.insert(all.end(), cases.begin(), cases.end());
  std::vector<Way> ways;
  for (const BenchCase& one : all) {
    std::function<void()> run = one.run;
    if (device.is_cuda()) {
      run = [run = one.run] {
        run();
        torch::cuda::synchronize();
      };
    }
    ways.push_back({run, rounds_within(seconds, run)});
  }
  base::Progress bar("bench", 1);
  const std::vector<double> medians = median_seconds(ways, [&](int done, int total) {
    bar.set_total(total);
    bar.update(done, "");
  });
  BenchReport report{device.str(), base::num_threads(), {0, 0, 0}, {}};
  for (size_t i = 0; i < all.size(); ++i) {
    const BenchCase& one = all[i];
    double& peak = report.peaks[static_cast<size_t>(one.peak)];
    const double rate = one.work / medians[i];
    if (i < num_peaks) {
      peak = std::max(peak, rate);
    } else {
      report.figures.push_back({one.group, one.name, medians[i], rate, one.peak, rate / peak});
    }
  }
  return report;
}

}  // namespace scorejet::bench
