// scorejet info RUN
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "scorejet/io/atomic_file.h"
#include "scorejet/training/run_folder.h"

void scorejet::apps::add_info(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("info", "What a run is.\n\nExample:\n  scorejet info runs/mnist");
  auto run = std::make_shared<std::string>();
  command->add_option("run", *run, "run folder")->required();
  command->callback([run] {
    const auto folder = training::RunFolder::open(*run);
    const auto facts = nlohmann::ordered_json::parse(io::read_text(folder.path() / "run.json"));
    for (const auto& [key, value] : facts.items()) {
      fmt::print("{:<24} {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
    }
  });
}
