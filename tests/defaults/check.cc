#include "tests/defaults/check.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "scorejet/run.h"
#include "src/base/seed.h"
#include "src/io/atomic_file.h"
#include "src/io/npy.h"
#include "src/io/tensor_bridge.h"
#include "src/training/run_folder.h"
#include "tests/scratch.h"

namespace scorejet::defaults {
namespace {

// Mean posterior variance and squared error of the posterior mean, a coordinate, in units of
// sigma².
void judge(const models::ScoreModel& model, const at::Tensor& x, CheckResult& result) {
  at::NoGradGuard no_grad;
  constexpr int64_t kBlock = 100;
  const double variance = result.sigma * result.sigma;
  double predicted = 0, error = 0;
  for (int64_t first = 0; first < x.size(0); first += kBlock) {
    const at::Tensor clean = x.narrow(0, first, std::min(kBlock, x.size(0) - first));
    const at::Generator random = base::make_generator(7, "judge", static_cast<uint64_t>(first));
    const at::Tensor noise = at::randn(clean.sizes(), random, clean.options());
    const at::Tensor noisy = clean + result.sigma * noise;
    const at::Tensor level = at::full({clean.size(0)}, result.sigma, clean.options());
    const score::Jet jet = model.evaluate(noisy, level, 2);
    // (x̃ + σ² s1 − x)/σ = z + σ s1
    error += (noise + result.sigma * jet.s1).square().sum(at::kDouble).item<double>();
    predicted += (1 + variance * jet.s2->diagonal().to(at::kDouble)).sum().item<double>();
  }
  result.error = error / static_cast<double>(x.numel());
  result.predicted = predicted / static_cast<double>(x.numel());
}

// The last line of metrics that holds a validation.
void read_losses(const std::filesystem::path& metrics, CheckResult& result) {
  std::istringstream lines(io::read_text(metrics));
  for (std::string line; std::getline(lines, line);) {
    const auto parsed = nlohmann::json::parse(line);
    if (!parsed.contains("validation_s1")) continue;
    result.first = parsed.at("validation_s1");
    result.second = parsed.at("validation_s2");
  }
}

}  // namespace

CheckResult run_case(const CheckCase& which, const SampleSet& set) {
  const testing::Scratch scratch;
  const std::string file = (scratch / "set.npy").string();
  io::write_npy(file, io::from_tensor(set.train));
  const at::Tensor rows = set.train.flatten(1).to(at::kDouble);
  const bool few = set.train.size(0) < 10;  // judged on the rows trained on, all but the last
  CheckResult result;
  result.sigma = which.ratio * std::sqrt(rows.var(0, false).mean().item<double>());
  training::RunConfig config;
  config.data.name = file;
  config.noise.sigma = result.sigma;
  config.train.steps = which.steps;
  config.train.seed = which.seed;
  training::TrainOptions options;
  options.out = scratch / "run";
  options.device = "cpu";
  try {
    result.seconds = training::train(config, options).seconds;
    read_losses(scratch / "run/metrics.jsonl", result);
    const training::Run run = training::load_run(options.out, "cpu");
    judge(*run.model, (few ? set.train.narrow(0, 0, set.train.size(0) - 1) : set.test).flatten(1),
          result);
  } catch (const std::exception& error) {
    result.failure = error.what();
  }
  return result;
}

std::string verdict(const CheckResult& result) {
  if (!result.failure.empty()) return result.failure;
  const double ratio = result.predicted / result.error;
  if (!std::isfinite(ratio) || !std::isfinite(result.first + result.second)) return "not finite";
  if (ratio > 0.3 && ratio < 3) return "good";
  return fmt::format("predicted variance / squared error must lie in 0.3..3; got {:.3g}", ratio);
}

}  // namespace scorejet::defaults
