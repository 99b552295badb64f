#include "reproduce/denoising/denoising_cost.h"

#include <ATen/ATen.h>

#include <functional>
#include <string>
#include <vector>

#include "bench/timing.h"
#include "reproduce/denoising/denoising_methods.h"
#include "scorejet/components.h"
#include "scorejet/posterior.h"

namespace scorejet::reproduce {

Rows measure_cost(const score::ScoreField& field, const at::Tensor& noisy, double sigma,
                  bool direct_only) {
  constexpr int64_t kBatch = 8, kComponents = 5;
  const auto level = [&](const at::Tensor& x) { return at::full({x.size(0)}, sigma, x.options()); };
  const auto denoise = [&](int64_t components) {
    return [&, components](const at::Tensor& x) {
      posterior::denoise(field, x, level(x), {.num_components = components});
    };
  };
  struct Entry {
    std::string name;
    std::function<void(const at::Tensor& noisy)> run;
    int64_t batch = kBatch;
    int rounds = 41;  // of milliseconds each
  };
  std::vector<Entry> entries{
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
  if (direct_only) entries.resize(kDirect);
  std::vector<bench::Way> ways;
  for (const Entry& entry : entries) {
    ways.push_back({[&] { entry.run(noisy.narrow(0, 0, entry.batch)); }, entry.rounds});
  }
  std::vector<double> seconds = bench::median_seconds(ways);
  for (size_t i = 0; i < entries.size(); ++i) {
    seconds[i] /= static_cast<double>(entries[i].batch);
  }
  Rows rows;
  for (size_t i = 0; i < entries.size(); ++i) {
    nlohmann::ordered_json row{{"way", entries[i].name}};
    row["seconds"] = seconds[i];
    row["over_s1"] = seconds[i] / seconds[0];
    row["peak_mb"] = bench::peak_memory([&] { entries[i].run(noisy.narrow(0, 0, 1)); }) / 1e6;
    rows.push_back(row);
  }
  return rows;
}

}  // namespace scorejet::reproduce
