#include "scorejet/experiments/denoising_cost.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>
#include <vector>

#include "scorejet/base/error.h"
#include "scorejet/experiments/denoising_methods.h"
#include "scorejet/linalg/lanczos.h"
#include "scorejet/posterior/components.h"
#include "scorejet/posterior/denoise.h"

namespace scorejet::experiments {
namespace {

constexpr int64_t kBatch = 8, kComponents = 5;

// A line of /proc/self/status, in bytes.
double status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) return 1024 * std::stod(line.substr(key.size() + 1));
  }
  base::fail_runtime("experiments::peak_memory", "/proc/self/status must have {}", key);
}

struct Way {
  std::string name;
  std::function<void(const at::Tensor& noisy)> run;
  int64_t batch = kBatch;
  int rounds = 7;
};

double seconds(const Way& way, const at::Tensor& noisy) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  way.run(noisy.narrow(0, 0, way.batch));
  return std::chrono::duration<double>(Clock::now() - begin).count() /
         static_cast<double>(way.batch);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

double peak_memory(const std::function<void()>& body) {
  malloc_trim(0);
  std::ofstream reset("/proc/self/clear_refs");
  reset << "5" << std::flush;  // forgets the high-water mark
  if (!reset) {
    base::fail_runtime("experiments::peak_memory", "/proc/self/clear_refs must be writable");
  }
  const double before = status_bytes("VmRSS");
  body();
  return std::max(0.0, status_bytes("VmHWM") - before);
}

Rows measure_cost(const score::ScoreField& field, const at::Tensor& noisy, double sigma,
                  bool direct_only) {
  const auto level = [&](const at::Tensor& x) { return at::full({x.size(0)}, sigma, x.options()); };
  const auto denoise = [&](int64_t components) {
    return [&, components](const at::Tensor& x) {
      posterior::denoise(field, x, level(x), {.num_components = components});
    };
  };
  std::vector<Way> ways{
      {"s1",
       [&](const at::Tensor& x) {
         at::NoGradGuard no_grad;
         field.evaluate(x, level(x), 1);
       }},
      {"direct s2: mean, sd", denoise(0)},
      {"direct s2: mean, sd, 5 components", denoise(kComponents)},
      {"s1: 5 components, block Krylov",
       [&](const at::Tensor& x) {
         posterior::top_components(field, x, level(x),
                                   {.count = kComponents, .tolerance = 1e-2, .direct = false});
       },
       kBatch, 3},
      {"s1: 5 components, subspace iteration",
       [&](const at::Tensor& x) { subspace_iteration(field, x, sigma, {.count = kComponents}); },
       kBatch, 3},
      {"s1: whole Jacobian, 5 components",
       [&](const at::Tensor& x) { jacobian_posteriors(field, x, x, sigma, kComponents); }, 1, 3}};
  constexpr size_t kDirect = 3;
  if (direct_only) ways.resize(kDirect);
  std::vector<std::vector<double>> times(ways.size());
  for (size_t w = 0; w < kDirect; ++w) seconds(ways[w], noisy);  // warm up
  for (int round = 0; round < 7; ++round) {
    for (size_t w = 0; w < ways.size(); ++w) {
      if (round < ways[w].rounds) times[w].push_back(seconds(ways[w], noisy));
    }
  }
  Rows rows;
  const double first = median(times[0]);
  for (size_t w = 0; w < ways.size(); ++w) {
    nlohmann::ordered_json row{{"way", ways[w].name}};
    row["seconds"] = median(times[w]);
    row["over_s1"] = median(times[w]) / first;
    row["peak_mb"] = peak_memory([&] { ways[w].run(noisy.narrow(0, 0, 1)); }) / 1e6;
    rows.push_back(row);
  }
  return rows;
}

}  // namespace scorejet::experiments
