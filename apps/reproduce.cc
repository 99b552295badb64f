// scorejet reproduce NAME
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

#include "apps/commands.h"
#include "reproduce/reproduce.h"

namespace {

// An experiment that runs once would leave them unread.
void refuse_seeds(const std::string& name) {
  std::vector<std::string> repeating;
  bool refused = false;
  for (const auto& experiment : scorejet::reproduce::experiments()) {
    if (experiment.repeats) repeating.push_back(experiment.name);
    refused = refused || (experiment.name == name && !experiment.repeats);
  }
  if (!refused) return;
  throw std::invalid_argument(fmt::format("--seeds is for experiments that repeat ({}); got {}",
                                          fmt::join(repeating, ", "), name));
}

}  // namespace

void scorejet::apps::add_reproduce(CLI::App& app) {
  std::string names;
  for (const auto& experiment : reproduce::experiments()) {
    names += fmt::format("\n  {}: {}", experiment.name, experiment.purpose);
  }
  CLI::App* command = app.add_subcommand(
      "reproduce",
      "Run an experiment: tables (CSV, JSON, Markdown) and plots. An interrupted run goes on where "
      "it\n"
      "was when given the same --out.\n\nExample:\n"
      "  scorejet reproduce accuracy --fast --out runs/accuracy\n\nExperiments:" +
          names);
  struct Options {
    std::string name;
    reproduce::ReproduceOptions reproduce;
    std::string out;
  };
  auto o = std::make_shared<Options>();
  command->add_option("name", o->name, "which experiment")->required();
  command->add_flag("--fast", o->reproduce.fast, "minutes instead of hours, the same ordering");
  command->add_option("--seeds", o->reproduce.seeds, "repetitions (1 with --fast)")
      ->capture_default_str();
  command->add_option("--out", o->out, "folder to write")->required();
  command->callback([o, command] {
    if (command->count("--seeds") > 0) refuse_seeds(o->name);
    if (o->reproduce.fast && command->count("--seeds") == 0) o->reproduce.seeds = 1;
    o->reproduce.out = o->out;
    reproduce::reproduce(o->name, o->reproduce);
  });
}
