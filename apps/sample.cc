// scorejet sample TARGET: options, and what a user must know of the chains that tasks/sample.cc
// ran. The options of kernels are those that the kernels declare.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <set>

#include "apps/commands.h"
#include "scorejet/kernel.h"
#include "scorejet/tasks.h"

namespace {

using namespace scorejet;

void print_samples(const tasks::SampleOptions& o, const tasks::SampleReport& report) {
  for (const tasks::KernelReport& kernel : report.kernels) {
    if (kernel.resumed_from >= 0) {
      fmt::print("{}: resumed at step {}\n", kernel.name, kernel.resumed_from);
    }
    if (kernel.num_bounded_steps > 0) {
      fmt::print("{}: the bound on positive curvature was in force at {} of {} chain-steps\n",
                 kernel.name, kernel.num_bounded_steps, kernel.num_chain_steps);
    }
    if (!kernel.stopped.empty()) fmt::print("{}: {}\n", kernel.name, kernel.stopped);
  }
  if (!report.stopped) fmt::print("{}\n", o.out.string());
}

std::string what_is_left(const tasks::SampleOptions& o, const tasks::SampleReport& report) {
  const std::string& kernel = report.kernels.back().name;
  return o.levels > 0
             ? fmt::format("interrupted; nothing was written of {}", kernel)
             : fmt::format("interrupted; the chains of {} are kept, go on with --resume", kernel);
}

void run_sample(const tasks::SampleOptions& o) {
  const tasks::SampleReport report = tasks::sample(o, apps::interruptible_listener());
  print_samples(o, report);
  if (report.stopped) throw apps::Interrupted(what_is_left(o, report));
}

// Each option that a kernel of the list declares, once.
void add_kernel_options(CLI::App* command, const std::shared_ptr<tasks::SampleOptions>& o) {
  std::set<std::string> known;
  for (const sampling::Kernel& kernel : sampling::kernels()) {
    for (const sampling::KernelOption& option : kernel.options) {
      const std::string name = option.name;
      if (option.expert || !known.insert(name).second) continue;
      const auto set = [o, name](auto value) {
        o->kernel_options[name] = static_cast<double>(value);
      };
      CLI::Option* added =
          option.integer ? command->add_option_function<int64_t>("--" + name, set, option.help)
                         : command->add_option_function<double>("--" + name, set, option.help);
      added->default_str(fmt::format("{}", option.value));
    }
  }
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
  auto o = std::make_shared<tasks::SampleOptions>();
  std::vector<std::string> names;
  for (const sampling::Kernel& kernel : sampling::kernels()) names.emplace_back(kernel.name);
  command
      ->add_option("target", o->target.name,
                   "run folder, known density (two-moons, mixture-20, ...) or TorchScript file")
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
  add_kernel_options(command, o);
  command->add_option("--seed", o->target.seed, "random seed")->capture_default_str();
  command->add_option("--device", o->target.device, "auto, cpu, cuda or cuda:N")
      ->capture_default_str();
  command->add_flag("--resume", o->resume, "go on from an interrupted run in --out");
  command->add_option("--out", o->out, "folder to write")->required();
  command->callback([o] {
    o->command = apps::command_line();
    run_sample(*o);
  });
}
