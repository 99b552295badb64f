// scorejet train CONFIG.toml
#include <fmt/format.h>

#include <memory>

#include "apps/commands.h"
#include "scorejet/run.h"
#include "src/report/run_report.h"

void scorejet::apps::add_train(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "train",
      "Train a model; the run folder then holds all there is to know.\n\nExample:\n"
      "  scorejet train configs/quickstart.toml --set train.steps=2000 --out runs/mnist");
  struct Options {
    std::string config;
    std::vector<std::string> settings;
    training::TrainOptions train;
    std::string out = "runs/latest";
  };
  auto options = std::make_shared<Options>();
  command->add_option("config", options->config, "configuration, TOML")->required();
  command->add_option("--set", options->settings,
                      "override: key.path=value (repeatable); every key: scorejet info --settings");
  command->add_option("--out", options->out, "run folder")->capture_default_str();
  command->add_flag("--resume", options->train.resume, "go on from the run's checkpoint");
  command->add_option("--device", options->train.device, "auto, cpu, cuda or cuda:N")
      ->capture_default_str();
  command->callback([options] {
    training::RunConfig config = training::read_config(options->config);
    for (const std::string& setting : options->settings) {
      training::apply_setting(config, setting);
    }
    options->train.out = options->out;
    options->train.listener = interruptible_listener();
    const training::TrainResult result = training::train(config, options->train);
    print_notice(result.notice);
    report::build_report(options->out);
    if (!result.finished) {
      throw Interrupted(fmt::format(
          "interrupted at step {}; checkpoint written, go on with --resume", result.step));
    }
    fmt::print("trained {} steps in {:.1f} s: {}\n", result.step, result.seconds, options->out);
  });
}
