// One whole training step of s1 and a low-rank s2, as bench/pytorch/step.py measures it: batch,
// forward, losses (centred, variance reduction), backward, clipping, Adam, average. Prints one line
// of JSON: median seconds a step and peak memory in MB beyond what the process had before.
//
//   step_bench mlp|unet [seconds] [threads] [batch] [rank]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "scorejet/base/threads.h"
#include "scorejet/training/flat_parameters.h"
#include "scorejet/training/optimiser.h"
#include "scorejet/training/trainer.h"

namespace {

using namespace scorejet;

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024 / 1e6;
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, const char* otherwise) {
    return std::string(argc > i ? argv[i] : otherwise);
  };
  const std::string network = argument(1, "mlp");
  if (network != "mlp" && network != "unet") {
    fmt::print(stderr, "step_bench: the network must be mlp or unet; got {}\n", network);
    return 2;
  }
  const bool mlp = network == "mlp";
  base::configure_process();
  at::set_num_threads(std::stoi(argument(3, "2")));
  training::RunConfig config;
  config.model.network = network;
  config.train.batch = std::stoll(argument(4, mlp ? "40" : "64"));
  config.model.rank = std::stoll(argument(5, mlp ? "50" : "20"));
  data::Dataset data;
  data.name = "random bytes";
  data.samples = at::randint(0, 256, {1000, 784}, at::kByte);
  data.image_shape = {1, 28, 28};
  const auto model = training::make_model(config, data);
  const training::FlatParameters parameters(model->network());
  training::AdamState state = training::make_adam_state(parameters.values());
  const training::LossOptions loss;
  int64_t number = 0;
  const auto step = [&] {
    const training::NoisyBatch batch =
        training::draw_batch(config, data, number++, config.train.batch, "bench");
    training::accumulate_gradients(*model, loss, batch, parameters);
    training::adam_step(state, parameters.values(), parameters.gradients(), 1e-3, 0.999);
  };
  const double before = peak_megabytes();
  step();
  using Clock = std::chrono::steady_clock;
  const auto seconds_since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  std::vector<double> times;
  const auto begin = Clock::now();
  const double limit = std::stod(argument(2, "3"));
  while (times.empty() || seconds_since(begin) < limit) {
    const auto start = Clock::now();
    step();
    times.push_back(seconds_since(start));
  }
  std::sort(times.begin(), times.end());
  fmt::print(
      R"({{"network": "{}", "batch": {}, "rank": {}, "seconds": {}, "steps": {}, "peak_mb": {}}})"
      "\n",
      network, config.train.batch, config.model.rank, times[times.size() / 2], times.size(),
      peak_megabytes() - before);
  return 0;
}
