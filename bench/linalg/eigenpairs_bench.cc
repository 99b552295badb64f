// What the leading components of a posterior, and the posterior as a whole (mean, standard
// deviation, components), cost beside the network that gives its covariance: medians over
// repetitions, on noisy digits of a run. Usage: eigenpairs_bench RUN [components]
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "bench/timing.h"
#include "scorejet/dataset.h"
#include "scorejet/posterior.h"
#include "scorejet/tweedie.h"
#include "src/base/seed.h"
#include "src/base/threads.h"
#include "src/linalg/lanczos.h"
#include "src/training/run_folder.h"

namespace {

using namespace scorejet;

constexpr double kSigma = 0.5;

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: eigenpairs_bench RUN [components]\n");
    return 2;
  }
  base::restart_with_known_blas(argv);
  base::configure_process();
  const int64_t components = argc > 2 ? std::atoll(argv[2]) : 5;
  const training::Run run = training::load_run(argv[1], "cpu");
  const data::Dataset test =
      data::load_splits(run.config.data.name, run.config.data.dir, run.config.data.validation).test;
  at::NoGradGuard no_grad;
  const at::Tensor clean = test.slice(0, std::min<int64_t>(test.size(), 1000));
  const at::Tensor noise = at::randn(clean.sizes(), base::make_generator(1, "noise"));
  const at::Tensor x = clean + kSigma * noise;
  fmt::print("{:>7} {:>14} {:>16} {:>6} {:>15} {:>13}\n", "images", "network, ms", "eigenpairs, ms",
             "steps", "posterior, ms", "over network");
  for (const int64_t count : {int64_t{1}, int64_t{100}, x.size(0)}) {
    const at::Tensor batch = x.narrow(0, 0, count);
    const at::Tensor levels = at::full({count}, kSigma);
    const int repetitions = count == 1 ? 201 : count == 100 ? 11 : 3;
    const auto covariance =
        score::posterior_covariance(levels, *run.model->evaluate(batch, levels, 2).s2);
    linalg::EigenPairs pairs;
    const std::vector<double> seconds = bench::median_seconds(
        {{[&] { run.model->evaluate(batch, levels, 2); }, repetitions},
         {[&] { pairs = linalg::top_eigenpairs(covariance, components); }, repetitions},
         {[&] { posterior::denoise(*run.model, batch, levels, {.num_components = components}); },
          repetitions}});
    fmt::print("{:>7} {:>14.2f} {:>16.3f} {:>6} {:>15.2f} {:>13.2f}\n", count, 1e3 * seconds[0],
               1e3 * seconds[1], pairs.steps, 1e3 * seconds[2], seconds[2] / seconds[0]);
  }
  return 0;
}
