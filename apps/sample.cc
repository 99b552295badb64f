// scorejet sample RUN
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "scorejet/base/error.h"
#include "scorejet/base/progress.h"
#include "scorejet/base/seed.h"
#include "scorejet/io/atomic_file.h"
#include "scorejet/io/npz.h"
#include "scorejet/io/tensor_bridge.h"
#include "scorejet/report/picture_grid.h"
#include "scorejet/sampling/chains.h"
#include "scorejet/training/run_folder.h"

namespace {

using namespace scorejet;

struct Options {
  std::string run, out, init = "data", device = "auto";
  std::vector<std::string> kernels{"ozaki"};
  double step_size = 0.1, sigma = 0;
  int64_t steps = 100, chains = 8, thin = 0;
  uint64_t seed = 0;
};

// Starts: test samples plus noise (points of p_sigma), or Gaussian noise of the data's scale.
at::Tensor start(const Options& o, const training::Run& run) {
  at::Generator generator = base::make_generator(o.seed, "chain starts");
  if (o.init == "noise") {
    const at::Tensor z = at::randn({o.chains, run.model->dim()}, generator);
    const at::Tensor variance = run.model->data_variance().cpu() + o.sigma * o.sigma;
    return run.model->data_mean().cpu() + variance.sqrt() * z;
  }
  if (o.init != "data")
    base::fail_argument("sample", "--init must be data or noise; got \"{}\"", o.init);
  const auto splits =
      data::load_splits(run.config.data.name, run.config.data.dir, run.config.data.validation);
  if (o.chains > splits.test.size()) {
    base::fail_argument("sample", "--chains must be at most {}, the test samples; got {}",
                        splits.test.size(), o.chains);
  }
  const at::Tensor x = splits.test.slice(0, o.chains);
  return x + o.sigma * at::randn(x.sizes(), generator);
}

// Columns of one kernel's course, left to right; noisy positions as their denoised means (what they
// look like).
std::vector<report::GridColumn> course(const Options& o, const training::Run& run,
                                       const std::string& kernel,
                                       const sampling::ChainResult& result) {
  const auto shape = run.model->options().network.image_shape;
  const int64_t rows = std::min<int64_t>(o.chains, 8);
  const int64_t kept = result.positions.size(1);
  const int64_t columns = std::min<int64_t>(kept, o.kernels.size() > 1 ? 6 : 11);
  std::vector<report::GridColumn> grid;
  for (int64_t j = 0; j < columns; ++j) {
    const int64_t index = columns > 1 ? j * (kept - 1) / (columns - 1) : 0;
    const at::Tensor x = result.positions.select(1, index).narrow(0, 0, rows);
    const at::Tensor s1 = run.model->evaluate(x, o.sigma, 1).s1;
    const at::Tensor mean = (x + o.sigma * o.sigma * s1).view({rows, shape[0], shape[1], shape[2]});
    report::GridColumn column;
    const int64_t step = result.steps[index].item<int64_t>();
    column.title = o.kernels.size() > 1 ? fmt::format("{}\nstep {}", kernel, step)
                                        : fmt::format("step {}", step);
    column.tiles = io::from_tensor(mean.clamp(0, 1));  // display range
    column.range = report::ValueRange{0, 1};
    grid.push_back(std::move(column));
  }
  return grid;
}

void check_options(const Options& o) {
  if (o.chains < 1) base::fail_argument("sample", "--chains must be at least 1; got {}", o.chains);
  if (o.steps < 1) base::fail_argument("sample", "--steps must be at least 1; got {}", o.steps);
  if (o.thin < 0) base::fail_argument("sample", "--thin must be at least 0; got {}", o.thin);
  for (const std::string& name : o.kernels) {
    sampling::find_kernel(name);
    if (std::count(o.kernels.begin(), o.kernels.end(), name) > 1)
      base::fail_argument("sample", "--kernel must name each kernel once; got {} twice", name);
  }
}

// The facts of one kernel's chains, one row of the report's table.
nlohmann::ordered_json describe(const std::string& kernel, const sampling::ChainResult& result,
                                double seconds) {
  nlohmann::ordered_json facts;
  facts["kernel"] = kernel;
  facts["num_evaluations"] = result.num_evaluations;
  facts["num_diverged"] = (result.diverged_at >= 0).sum().item<int64_t>();
  facts["num_bounded_steps"] = result.num_bounded;
  facts["max_krylov_steps"] = result.max_krylov_steps;
  facts["seconds"] = std::round(seconds * 100) / 100;
  if (result.num_bounded > 0) {
    fmt::print("{}: the bound on positive curvature was in force at {} of {} chain-steps\n", kernel,
               result.num_bounded, result.num_evaluations);
  }
  if (facts["num_diverged"] > 0)
    fmt::print("{}: {} chains diverged\n", kernel, facts["num_diverged"].dump());
  return facts;
}

void sample(Options o) {
  const training::Run run = training::load_run(o.run, o.device);
  check_options(o);
  apps::print_notice(training::sigma_notice(run, o.sigma));
  if (o.thin == 0) o.thin = std::max<int64_t>(1, o.steps / 50);
  const at::Tensor x0 = start(o, run).to(run.model->data_mean().device());
  io::make_writable_directory(o.out);
  const std::filesystem::path out = o.out;
  const sampling::KernelOptions kernel_options{.step_size = o.step_size, .sigma = o.sigma};
  const bool image = !run.model->options().network.image_shape.empty();
  std::vector<report::GridColumn> grid;
  nlohmann::ordered_json kernels = nlohmann::ordered_json::array();
  for (const std::string& name : o.kernels) {
    const auto begin = std::chrono::steady_clock::now();
    base::Progress bar(name, o.steps);
    const sampling::ChainResult result =
        sampling::run_chains(*run.model, sampling::find_kernel(name), x0, kernel_options,
                             {.num_steps = o.steps, .thin = o.thin, .seed = o.seed},
                             [&](int64_t step) { bar.update(step, ""); });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    bar.finish("");
    const std::string file =
        o.kernels.size() > 1 ? fmt::format("chains_{}.npz", name) : "chains.npz";
    io::write_npz(out / file, {{"positions", io::from_tensor(result.positions)},
                               {"steps", io::from_tensor(result.steps)},
                               {"diverged_at", io::from_tensor(result.diverged_at)}});
    kernels.push_back(describe(name, result, seconds.count()));
    if (image) {
      for (auto& column : course(o, run, name, result)) grid.push_back(std::move(column));
    }
  }
  nlohmann::ordered_json metrics;
  metrics["kind"] = "sample";
  metrics["title"] = fmt::format("Chains: {}", fmt::join(o.kernels, ", "));
  metrics["command"] = apps::command_line();
  metrics["step_size"] = o.step_size;
  metrics["sigma"] = o.sigma;
  metrics["num_steps"] = o.steps;
  metrics["chains"] = o.chains;
  metrics["seed"] = o.seed;
  metrics["kernels"] = kernels;
  if (image) {
    const std::string title = fmt::format("{}: step size {:g}, sigma {:g} (denoised)",
                                          fmt::join(o.kernels, " | "), o.step_size, o.sigma);
    report::write_picture_grid(out / "course.png", grid, {}, title);
    metrics["pictures"] = {{{"file", "course.png"},
                            {"caption",
                             "The course of the chains (rows), from the same starts, each position "
                             "denoised."}}};
  }
  io::write_file(out / "metrics.json", metrics.dump(2) + "\n");
  fmt::print("{}\n", o.out);
}

}  // namespace

void scorejet::apps::add_sample(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("sample",
                         "Run Markov chains on the learned density p_sigma.\n\nExample:\n"
                         "  scorejet sample runs/mnist --kernel ozaki --step-size 0.1 --steps 200 "
                         "--chains 8 --sigma 0.5 --out runs/mnist/ozaki");
  auto o = std::make_shared<Options>();
  command->add_option("run", o->run, "run folder")->required();
  command
      ->add_option("--kernel", o->kernels,
                   "langevin, ozaki, or several with commas: run from the same starts and noise")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  command->add_option("--step-size", o->step_size, "epsilon, > 0")->capture_default_str();
  command->add_option("--steps", o->steps, "steps of each chain")->capture_default_str();
  command->add_option("--chains", o->chains, "number of chains")->capture_default_str();
  command->add_option("--thin", o->thin, "keep every n-th position; 0: about 50 in all")
      ->capture_default_str();
  command->add_option("--sigma", o->sigma, "noise level, > 0")->required();
  command->add_option("--init", o->init, "data (test samples plus noise) or noise")
      ->capture_default_str();
  command->add_option("--seed", o->seed, "random seed")->capture_default_str();
  command->add_option("--device", o->device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  command->add_option("--out", o->out, "folder to write")->required();
  command->callback([o] { sample(*o); });
}
