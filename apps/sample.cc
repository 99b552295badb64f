// scorejet sample TARGET
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "apps/sample_target.h"
#include "scorejet/base/error.h"
#include "scorejet/base/progress.h"
#include "scorejet/io/atomic_file.h"
#include "scorejet/io/npz.h"
#include "scorejet/io/tensor_bridge.h"
#include "scorejet/report/picture_grid.h"
#include "scorejet/sampling/annealed.h"
#include "scorejet/sampling/chain_file.h"

namespace {

using namespace scorejet;
using Json = nlohmann::ordered_json;

struct Options {
  apps::TargetRequest target{};
  std::string out;
  std::vector<std::string> kernels{"ozaki"};
  double step_size = 0, sigma_max = 0;
  int64_t steps = 100, warmup = 0, thin = 0, levels = 0;
  sampling::KernelOptions kernel;
  bool resume = false;
};

at::Tensor as_images(const at::Tensor& x, const std::vector<int64_t>& shape) {
  return x.view({x.size(0), shape[0], shape[1], shape[2]}).clamp(0, 1);  // display range
}

// Columns of one kernel's course, left to right; noisy positions as their denoised means (what they
// look like).
std::vector<report::GridColumn> course(const Options& o, const apps::SampleTarget& target,
                                       const std::string& kernel,
                                       const sampling::ChainResult& result) {
  const int64_t rows = std::min<int64_t>(o.target.chains, 8);
  const int64_t kept = result.positions.size(1);
  const int64_t columns = std::min<int64_t>(kept, o.kernels.size() > 1 ? 6 : 11);
  const double sigma = o.target.sigma;
  std::vector<report::GridColumn> grid;
  for (int64_t j = 0; j < columns; ++j) {
    const int64_t index = columns > 1 ? j * (kept - 1) / (columns - 1) : 0;
    const at::Tensor x = result.positions.select(1, index).narrow(0, 0, rows);
    const at::Tensor s1 = target.target.field->evaluate(x, sigma, 1).s1;
    report::GridColumn column;
    const int64_t step = result.steps[index].item<int64_t>();
    column.title = o.kernels.size() > 1 ? fmt::format("{}\nstep {}", kernel, step)
                                        : fmt::format("step {}", step);
    column.tiles = io::from_tensor(as_images(x + sigma * sigma * s1, target.image_shape));
    column.range = report::ValueRange{0, 1};
    grid.push_back(std::move(column));
  }
  return grid;
}

// The facts of one kernel's chains, one row of the report's table; what a user must know is
// printed.
Json describe(const sampling::Kernel& kernel, const sampling::Chains& chains, double seconds) {
  Json facts;
  facts["kernel"] = kernel.name;
  facts["step_size"] = chains.adaptation.step_size.median().item<double>();
  facts["num_evaluations"] = chains.num_evaluations;
  facts["num_diverged"] = (chains.stopped_at >= 0).sum().item<int64_t>();
  facts["num_bounded_steps"] = chains.num_bounded;
  facts["max_krylov_steps"] = chains.max_krylov_steps;
  facts["seconds"] = std::round(seconds * 100) / 100;
  if (chains.num_bounded > 0) {
    fmt::print("{}: the bound on positive curvature was in force at {} of {} chain-steps\n",
               kernel.name, chains.num_bounded, chains.step * chains.stopped_at.size(0));
  }
  const std::string stopped = sampling::describe_stopped(chains);
  if (!stopped.empty()) fmt::print("{}: {}\n", kernel.name, stopped);
  return facts;
}

void check_options(const Options& o) {
  const auto at_least = [](const char* name, int64_t value, int64_t least) {
    if (value < least) {
      base::fail_argument("sample", "{} must be at least {}; got {}", name, least, value);
    }
  };
  at_least("--chains", o.target.chains, 1);
  at_least("--steps", o.steps, 1);
  at_least("--thin", o.thin, 0);
  at_least("--warmup", o.warmup, 0);
  if (o.levels != 0) at_least("--levels", o.levels, 2);
  if (o.step_size < 0 || !std::isfinite(o.step_size)) {
    base::fail_domain("sample", "--step-size must be > 0, or 0 for the default; got {}",
                      o.step_size);
  }
  for (const std::string& name : o.kernels) {
    sampling::find_kernel(name);
    if (std::count(o.kernels.begin(), o.kernels.end(), name) > 1)
      base::fail_argument("sample", "--kernel must name each kernel once; got {} twice", name);
  }
}

// Where --step-size is not given. An adjusted kernel finds its own from there in its warm-up.
double first_step_size(const Options& o, const sampling::Kernel& kernel) {
  if (o.step_size > 0) return o.step_size;
  if (o.target.sigma == 0) {
    base::fail_argument("sample", "--step-size must be given where --sigma is 0");
  }
  return sampling::default_step_size(kernel, o.target.sigma);
}

// What a resumed run must share with the one it goes on from.
std::string description(const Options& o, const apps::SampleTarget& target,
                        const sampling::Kernel& kernel, double step_size) {
  return fmt::format(
      "{} on {}, sigma {}, step size {}, {} steps after {}, thin {}, {} chains from {}, seed {}, "
      "{} leapfrog steps, {} line panels",
      kernel.name, target.identity, o.target.sigma, step_size, o.steps, o.warmup, o.thin,
      o.target.chains, o.target.start.empty() ? o.target.init : o.target.start, o.target.seed,
      o.kernel.leapfrog_steps, o.kernel.line_panels);
}

std::string rates(const sampling::Chains& chains, const sampling::Kernel& kernel) {
  const int64_t stopped = (chains.stopped_at >= 0).sum().item<int64_t>();
  std::string text = stopped > 0 ? fmt::format("{} stopped", stopped) : "";
  if (kernel.adjustment != sampling::Adjustment::kNone) {
    text.append(fmt::format("{}step size {:.3g}", text.empty() ? "" : ", ",
                            chains.adaptation.step_size.median().item<double>()));
  }
  return text;
}

struct Output {
  Json kernels = Json::array();
  std::vector<report::GridColumn> grid;
};

void run_kernel(const Options& o, const apps::SampleTarget& target, const std::string& name,
                Output& output) {
  const sampling::Kernel& kernel = sampling::find_kernel(name);
  sampling::KernelOptions kernel_options = o.kernel;
  kernel_options.step_size = first_step_size(o, kernel);
  const sampling::ChainOptions options{
      .num_steps = o.steps, .warmup = o.warmup, .thin = o.thin, .seed = o.target.seed};
  const std::string file = o.kernels.size() > 1 ? fmt::format("chains_{}.npz", name) : "chains.npz";
  const sampling::StreamOptions stream{
      .file = std::filesystem::path(o.out) / file,
      .description = description(o, target, kernel, kernel_options.step_size),
      .resume = o.resume};
  base::Progress bar(name, o.steps + o.warmup);
  const sampling::StreamResult result = sampling::stream_chains(
      target.target, kernel, target.x0, kernel_options, options, stream,
      [&](const sampling::Chains& chains) { bar.update(chains.step, rates(chains, kernel)); });
  bar.finish("");
  if (result.resumed_from >= 0) fmt::print("{}: resumed at step {}\n", name, result.resumed_from);
  output.kernels.push_back(describe(kernel, result.chains.chains, result.seconds));
  if (!target.image_shape.empty()) {
    for (auto& column : course(o, target, name, result.chains)) {
      output.grid.push_back(std::move(column));
    }
  }
}

// Generation from noise: samples.npz, one column of pictures.
void run_annealed(const Options& o, const apps::SampleTarget& target, const std::string& name,
                  Output& output) {
  const sampling::Kernel& kernel = sampling::find_kernel(name);
  const double first = o.sigma_max > 0 ? o.sigma_max : target.sigma_max;
  sampling::AnnealOptions options{
      .sigmas = sampling::geometric_ladder(first, o.target.sigma, o.levels),
      .steps_per_level = o.steps,
      .seed = o.target.seed};
  if (o.step_size > 0) options.relative_step = o.step_size;
  base::Progress bar(name, o.levels * o.steps);
  const sampling::AnnealResult result = sampling::run_annealed(
      target.target, kernel, target.from_noise(first).to(target.device), o.kernel, options,
      [&](const sampling::Chains& chains) { bar.update(chains.step, rates(chains, kernel)); });
  bar.finish("");
  const std::string file =
      o.kernels.size() > 1 ? fmt::format("samples_{}.npz", name) : "samples.npz";
  io::write_npz(std::filesystem::path(o.out) / file, {{"x", io::from_tensor(result.samples)}});
  output.kernels.push_back(describe(kernel, result.chains, bar.seconds()));
  if (target.image_shape.empty()) return;
  const int64_t rows = std::min<int64_t>(8, o.target.chains);
  for (int64_t begin = 0; begin + rows <= std::min<int64_t>(o.target.chains, 64); begin += rows) {
    report::GridColumn column;
    column.title = begin == 0 ? name : "";
    column.tiles =
        io::from_tensor(as_images(result.samples.narrow(0, begin, rows), target.image_shape));
    column.range = report::ValueRange{0, 1};
    output.grid.push_back(std::move(column));
  }
}

void sample(Options o) {
  check_options(o);
  for (const std::string& name : o.kernels) {
    o.target.order = std::max(o.target.order, sampling::find_kernel(name).order);
  }
  const bool annealed = o.levels > 0;
  if (annealed) o.target.init = "noise";
  const apps::SampleTarget target = apps::open_target(o.target);
  if (o.thin == 0) o.thin = std::max<int64_t>(1, o.steps / 50);
  io::make_writable_directory(o.out);
  Output output;
  for (const std::string& name : o.kernels) {
    annealed ? run_annealed(o, target, name, output) : run_kernel(o, target, name, output);
  }
  Json metrics;
  metrics["kind"] = "sample";
  metrics["title"] =
      fmt::format("{}: {}", annealed ? "Generated" : "Chains", fmt::join(o.kernels, ", "));
  metrics["command"] = apps::command_line();
  metrics["sigma"] = o.target.sigma;
  metrics["num_steps"] = o.steps;
  metrics["chains"] = o.target.chains;
  metrics["seed"] = o.target.seed;
  metrics["kernels"] = output.kernels;
  if (!output.grid.empty()) {
    const char* file = annealed ? "samples.png" : "course.png";
    const std::string title =
        fmt::format("{}: sigma {:g} (denoised)", fmt::join(o.kernels, " | "), o.target.sigma);
    apps::print_notice(
        report::write_picture_grid(std::filesystem::path(o.out) / file, output.grid, {}, title));
    metrics["pictures"] = {
        {{"file", file},
         {"caption", annealed ? "Samples from noise, denoised at the last level."
                              : "The course of the chains (rows), from the same starts, each "
                                "position denoised."}}};
  }
  io::write_file(std::filesystem::path(o.out) / "metrics.json", metrics.dump(2) + "\n");
  fmt::print("{}\n", o.out);
}

}  // namespace

void scorejet::apps::add_sample(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "sample",
      "Run Markov chains on p_sigma, learned or known, or generate from noise.\n\nExamples:\n"
      "  scorejet sample runs/mnist --kernel ozaki --steps 200 --chains 8 --sigma 0.5 --out "
      "runs/mnist/ozaki\n"
      "  scorejet sample banana --kernel hmc,langevin --sigma 0.1 --warmup 200 --steps 2000 --out "
      "out\n"
      "  scorejet sample runs/range --levels 10 --steps 20 --sigma 0.05 --chains 64 --out out");
  auto o = std::make_shared<Options>();
  std::vector<std::string> names;
  for (const sampling::Kernel& kernel : sampling::kernels()) names.emplace_back(kernel.name);
  command
      ->add_option("target", o->target.name,
                   "run folder, density of the plane (two-moons, ...) or TorchScript file")
      ->required();
  command
      ->add_option("--kernel", o->kernels,
                   fmt::format("{}; several with commas: from the same starts and noise",
                               fmt::join(names, ", ")))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  command->add_option("--step-size", o->step_size,
                      "epsilon, > 0 (with --levels: in units of sigma^2); default: 0.1 sigma^2 for "
                      "kernels of first order, else 0.2 sigma^2");
  command->add_option("--steps", o->steps, "steps of each chain, or at each level")
      ->capture_default_str();
  command
      ->add_option("--warmup", o->warmup,
                   "steps before, not kept; adjusted kernels adapt their step size in them")
      ->capture_default_str();
  command->add_option("--chains", o->target.chains, "number of chains")->capture_default_str();
  command->add_option("--thin", o->thin, "keep every n-th position; 0: about 50 in all")
      ->capture_default_str();
  command->add_option("--sigma", o->target.sigma, "noise level; with --levels the last")
      ->required();
  command->add_option("--levels", o->levels,
                      "generate from noise: levels of a ladder from --sigma-max to --sigma");
  command->add_option("--sigma-max", o->sigma_max, "first level; default: the run's own");
  command
      ->add_option("--init", o->target.init, "data (test samples plus noise) or noise (a Gaussian)")
      ->capture_default_str();
  command->add_option("--start", o->target.start, "file of starting points, instead of --init");
  command
      ->add_option("--predicts", o->target.predicts,
                   "what a TorchScript file returns: score, clean or noise")
      ->capture_default_str();
  command->add_option("--leapfrog", o->kernel.leapfrog_steps, "hmc: evaluations a step")
      ->capture_default_str();
  command
      ->add_option("--line-panels", o->kernel.line_panels,
                   "line- kernels: pieces of the line integral, and evaluations a step")
      ->capture_default_str();
  command->add_option("--seed", o->target.seed, "random seed")->capture_default_str();
  command->add_option("--device", o->target.device, "auto, cpu, cuda or cuda:N")
      ->capture_default_str();
  command->add_flag("--resume", o->resume, "go on from an interrupted run in --out");
  command->add_option("--out", o->out, "folder to write")->required();
  command->callback([o] { sample(*o); });
}
