#include "scorejet/tasks.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "scorejet/chains.h"
#include "src/base/error.h"
#include "src/io/atomic_file.h"
#include "src/io/npz.h"
#include "src/io/tensor_bridge.h"
#include "src/report/picture_grid.h"
#include "src/tasks/sample_target.h"

namespace scorejet::tasks {
namespace {

using SampleJson = nlohmann::ordered_json;

at::Tensor as_images(const at::Tensor& x, const std::vector<int64_t>& shape) {
  return x.view({x.size(0), shape[0], shape[1], shape[2]}).clamp(0, 1);  // display range
}

// Columns of one kernel's course, left to right; noisy positions as their denoised means (what they
// look like).
std::vector<report::GridColumn> course(const SampleOptions& o, const SampleTarget& target,
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

KernelReport describe_kernel(const sampling::Kernel& kernel, const sampling::Chains& chains,
                             double seconds) {
  KernelReport report;
  report.name = kernel.name;
  report.step_size = chains.adaptation.step_size.median().item<double>();
  report.num_evaluations = chains.num_evaluations;
  report.num_diverged = (chains.stopped_at >= 0).sum().item<int64_t>();
  report.num_bounded_steps = chains.num_bounded;
  report.num_chain_steps = chains.step * chains.stopped_at.size(0);
  report.max_krylov_steps = chains.max_krylov_steps;
  report.seconds = seconds;
  report.stopped = sampling::describe_stopped(chains);
  return report;
}

// One row of the report's table.
SampleJson to_json(const KernelReport& report) {
  return {{"kernel", report.name},
          {"step_size", report.step_size},
          {"num_evaluations", report.num_evaluations},
          {"num_diverged", report.num_diverged},
          {"num_bounded_steps", report.num_bounded_steps},
          {"max_krylov_steps", report.max_krylov_steps},
          {"seconds", std::round(report.seconds * 100) / 100}};
}

// Each option that is given must be one of a kernel that is run. A run of release 0.1 that is gone
// on with may have been given others: they stand in its description.
void check_kernel_options(const SampleOptions& o) {
  if (o.resume) return;
  const auto have = [](const std::string& kernel, const std::string& option) {
    return !sampling::its_options(sampling::find_kernel(kernel), {{option, 0}}).empty();
  };
  for (const auto& [option, value] : o.kernel_options) {
    if (std::any_of(
            o.kernels.begin(), o.kernels.end(),
            [&, &name = option](const std::string& kernel) { return have(kernel, name); })) {
      continue;
    }
    std::vector<std::string> owners;
    for (const sampling::Kernel& kernel : sampling::kernels()) {
      if (have(kernel.name, option)) owners.emplace_back(kernel.name);
    }
    base::fail_argument("sample", "--{} must go with --kernel {}; got --kernel {}", option,
                        fmt::join(owners, " or "), fmt::join(o.kernels, ","));
  }
}

void check_sample_options(const SampleOptions& o) {
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
  check_kernel_options(o);
}

// Where --step-size is not given. An adjusted kernel finds its own from there in its warm-up.
double first_step_size(const SampleOptions& o, const sampling::Kernel& kernel) {
  if (o.step_size > 0) return o.step_size;
  if (o.target.sigma == 0) {
    base::fail_argument("sample", "--step-size must be given where --sigma is 0");
  }
  return sampling::default_step_size(kernel, o.target.sigma);
}

sampling::KernelOptions options_for(const SampleOptions& o, const sampling::Kernel& kernel) {
  return {.values = sampling::its_options(kernel, o.kernel_options)};
}

// What a resumed run must share with the one it goes on from.
std::string course_of(const SampleOptions& o, const SampleTarget& target,
                      const sampling::Kernel& kernel, const sampling::KernelOptions& options) {
  return fmt::format(
      "{} on {}, sigma {}, step size {}, {} steps after {}, thin {}, {} chains from {}, seed {}",
      kernel.name, target.identity, o.target.sigma, options.step_size, o.steps, o.warmup, o.thin,
      o.target.chains, o.target.start.empty() ? o.target.init : o.target.start, o.target.seed);
}

std::string run_description(const SampleOptions& o, const SampleTarget& target,
                            const sampling::Kernel& kernel,
                            const sampling::KernelOptions& options) {
  std::string text = course_of(o, target, kernel, options);
  for (const sampling::KernelOption& option : kernel.options) {
    const double value = sampling::option_value(kernel, options, option.name);
    text.append(fmt::format(", {} {}", option.name, value));
  }
  return text;
}

// As release 0.1 described every kernel, whether or not it had these two.
std::string older_description_of(const SampleOptions& o, const SampleTarget& target,
                                 const sampling::Kernel& kernel,
                                 const sampling::KernelOptions& options) {
  const auto given = [&](const char* name, int64_t otherwise) {
    const auto found = o.kernel_options.find(name);
    return found == o.kernel_options.end() ? otherwise : std::llround(found->second);
  };
  return course_of(o, target, kernel, options) + fmt::format(", {} leapfrog steps, {} line panels",
                                                             given("leapfrog", 10),
                                                             given("line-panels", 1));
}

std::string chain_rates(const sampling::Chains& chains, const sampling::Kernel& kernel) {
  const int64_t stopped = (chains.stopped_at >= 0).sum().item<int64_t>();
  std::string text = stopped > 0 ? fmt::format("{} stopped", stopped) : "";
  if (kernel.adjustment != sampling::Adjustment::kNone) {
    text.append(fmt::format("{}step size {:.3g}", text.empty() ? "" : ", ",
                            chains.adaptation.step_size.median().item<double>()));
  }
  return text;
}

// What is collected over the kernels.
struct SampleOutput {
  SampleReport report;
  std::vector<report::GridColumn> grid;
};

void run_kernel(const SampleOptions& o, const SampleTarget& target, const sampling::Kernel& kernel,
                const base::Listener& listener, SampleOutput& output) {
  sampling::KernelOptions kernel_options = options_for(o, kernel);
  kernel_options.step_size = first_step_size(o, kernel);
  const sampling::ChainOptions options{
      .num_steps = o.steps, .warmup = o.warmup, .thin = o.thin, .seed = o.target.seed};
  const std::string file =
      o.kernels.size() > 1 ? fmt::format("chains_{}.npz", kernel.name) : "chains.npz";
  const sampling::StreamOptions stream{
      .file = o.out / file,
      .description = run_description(o, target, kernel, kernel_options),
      .older_description = older_description_of(o, target, kernel, kernel_options),
      .resume = o.resume,
      .stop = listener.stop};
  const sampling::StreamResult result =
      sampling::stream_chains(target.target, kernel, target.x0, kernel_options, options, stream,
                              [&](const sampling::Chains& chains) {
                                listener.on_progress({kernel.name, chains.step, o.steps + o.warmup,
                                                      0, chain_rates(chains, kernel)});
                              });
  KernelReport report = describe_kernel(kernel, result.chains.chains, result.seconds);
  report.resumed_from = result.resumed_from;
  output.report.kernels.push_back(std::move(report));
  output.report.stopped = !result.finished;
  if (output.report.stopped || target.image_shape.empty()) return;
  for (auto& column : course(o, target, kernel.name, result.chains)) {
    output.grid.push_back(std::move(column));
  }
}

// Generation from noise: samples.npz, one column of pictures.
void run_annealed(const SampleOptions& o, const SampleTarget& target,
                  const sampling::Kernel& kernel, const base::Listener& listener,
                  SampleOutput& output) {
  const double first = o.sigma_max > 0 ? o.sigma_max : target.sigma_max;
  sampling::AnnealOptions options{
      .sigmas = sampling::geometric_ladder(first, o.target.sigma, o.levels),
      .steps_per_level = o.steps,
      .seed = o.target.seed,
      .stop = listener.stop};
  if (o.step_size > 0) options.relative_step = o.step_size;
  const auto begin = std::chrono::steady_clock::now();
  const sampling::AnnealResult result =
      sampling::run_annealed(target.target, kernel, target.from_noise(first).to(target.device),
                             options_for(o, kernel), options, [&](const sampling::Chains& chains) {
                               listener.on_progress({kernel.name, chains.step, o.levels * o.steps,
                                                     0, chain_rates(chains, kernel)});
                             });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  output.report.kernels.push_back(describe_kernel(kernel, result.chains, seconds.count()));
  output.report.stopped = !result.samples.defined();
  if (output.report.stopped) return;
  const std::string file =
      o.kernels.size() > 1 ? fmt::format("samples_{}.npz", kernel.name) : "samples.npz";
  io::write_npz(o.out / file, {{"x", io::from_tensor(result.samples)}});
  if (target.image_shape.empty()) return;
  const int64_t rows = std::min<int64_t>(8, o.target.chains);
  for (int64_t begin_row = 0; begin_row + rows <= std::min<int64_t>(o.target.chains, 64);
       begin_row += rows) {
    report::GridColumn column;
    column.title = begin_row == 0 ? kernel.name : "";
    column.tiles =
        io::from_tensor(as_images(result.samples.narrow(0, begin_row, rows), target.image_shape));
    column.range = report::ValueRange{0, 1};
    output.grid.push_back(std::move(column));
  }
}

// metrics.json and the picture.
void write_sample(const SampleOptions& o, const SampleOutput& output,
                  const base::Listener& listener) {
  const bool annealed = o.levels > 0;
  SampleJson metrics;
  metrics["kind"] = "sample";
  metrics["title"] =
      fmt::format("{}: {}", annealed ? "Generated" : "Chains", fmt::join(o.kernels, ", "));
  metrics["command"] = o.command;
  metrics["sigma"] = o.target.sigma;
  metrics["num_steps"] = o.steps;
  metrics["chains"] = o.target.chains;
  metrics["seed"] = o.target.seed;
  metrics["kernels"] = SampleJson::array();
  for (const KernelReport& report : output.report.kernels) {
    metrics["kernels"].push_back(to_json(report));
  }
  if (!output.grid.empty()) {
    const char* file = annealed ? "samples.png" : "course.png";
    const std::string title =
        fmt::format("{}: sigma {:g} (denoised)", fmt::join(o.kernels, " | "), o.target.sigma);
    listener.on_notice(report::write_picture_grid(o.out / file, output.grid, {}, title));
    metrics["pictures"] = {
        {{"file", file},
         {"caption", annealed ? "Samples from noise, denoised at the last level."
                              : "The course of the chains (rows), from the same starts, each "
                                "position denoised."}}};
  }
  io::write_file(o.out / "metrics.json", metrics.dump(2) + "\n");
}

}  // namespace

SampleReport sample(SampleOptions o, const base::Listener& listener) {
  check_sample_options(o);
  for (const std::string& name : o.kernels) {
    o.target.order = std::max(o.target.order, sampling::find_kernel(name).order);
  }
  if (o.levels > 0) o.target.init = "noise";
  const SampleTarget target = open_target(o.target, listener);
  if (o.thin == 0) o.thin = std::max<int64_t>(1, o.steps / 50);
  io::make_writable_directory(o.out);
  SampleOutput output;
  for (const std::string& name : o.kernels) {
    const sampling::Kernel& kernel = sampling::find_kernel(name);
    o.levels > 0 ? run_annealed(o, target, kernel, listener, output)
                 : run_kernel(o, target, kernel, listener, output);
    if (output.report.stopped) return std::move(output.report);
  }
  write_sample(o, output, listener);
  return std::move(output.report);
}

}  // namespace scorejet::tasks
