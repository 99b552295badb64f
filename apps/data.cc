// scorejet data fetch NAME
#include <fmt/format.h>

#include <memory>

#include "apps/commands.h"
#include "scorejet/data/fetch.h"

void scorejet::apps::add_data(CLI::App& app) {
  CLI::App* data = app.add_subcommand("data", "Public data sets");
  data->require_subcommand(1);
  CLI::App* command = data->add_subcommand(
      "fetch", "Fetch a data set, verified.\n\nExample:\n  scorejet data fetch mnist --dir data");
  struct Options {
    std::string name, dir = "data";
  };
  auto options = std::make_shared<Options>();
  command->add_option("name", options->name, "mnist, fashion-mnist or cifar10")->required();
  command->add_option("--dir", options->dir, "folder that holds data sets")->capture_default_str();
  command->callback([options] {
    data::fetch(options->name, options->dir,
                [](const std::string& line) { fmt::print("{}\n", line); });
  });
}
