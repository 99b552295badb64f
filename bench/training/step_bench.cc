// One whole training step of s1 and a low-rank s2, as bench/pytorch/step.py measures it: batch,
// forward, losses (centred, variance reduction), backward, clipping, Adam, average; or one
// evaluation of both scores at a batch. Prints one line of JSON: median seconds and the peak memory
// in MB of one, beyond what is kept between steps.
//
//   step_bench mlp|unet [seconds] [threads] [step|evaluate] [batch] [rank]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <string>

#include "bench/step_parts.h"
#include "bench/timing.h"
#include "src/base/threads.h"

using namespace scorejet;

int main(int argc, char** argv) {
  const auto argument = [&](int i, const char* otherwise) {
    return std::string(argc > i ? argv[i] : otherwise);
  };
  const std::string network = argument(1, "mlp");
  if (network != "mlp" && network != "unet") {
    fmt::print(stderr, "step_bench: the network must be mlp or unet; got {}\n", network);
    return 2;
  }
  const std::string task = argument(4, "step");
  if (task != "step" && task != "evaluate") {
    fmt::print(stderr, "step_bench: the task must be step or evaluate; got {}\n", task);
    return 2;
  }
  const bool mlp = network == "mlp";
  base::restart_with_known_blas(argv);
  base::configure_process();
  at::set_num_threads(std::stoi(argument(3, "2")));
  const bench::StepSize size{network, std::stoll(argument(5, mlp ? "40" : "64")),
                             std::stoll(argument(6, mlp ? "50" : "20"))};
  bench::StepParts parts(size, at::kCPU);
  const auto run = [&] { task == "step" ? parts.step() : parts.evaluate(); };
  run();
  const int steps = bench::rounds_within(std::stod(argument(2, "3")), run);
  const double seconds = bench::median_seconds({{run, steps}})[0];
  fmt::print(
      R"({{"network": "{}", "batch": {}, "rank": {}, "seconds": {}, "steps": {}, "peak_mb": {}}})"
      "\n",
      network, size.batch, size.rank, seconds, steps, bench::peak_memory(run) / 1e6);
  return 0;
}
