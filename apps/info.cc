// scorejet info RUN, scorejet info --settings
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "src/io/atomic_file.h"
#include "src/training/run_folder.h"

void scorejet::apps::add_info(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("info", "What a run is.\n\nExample:\n  scorejet info runs/mnist");
  auto run = std::make_shared<std::string>();
  auto settings = std::make_shared<bool>(false);
  CLI::Option* folder_option = command->add_option("run", *run, "run folder");
  command
      ->add_flag("--settings", *settings, "every setting of a run instead, as a page of Markdown")
      ->excludes(folder_option);
  command->callback([run, settings] {
    if (*settings) {
      fmt::print("{}", training::settings_page());
      return;
    }
    if (run->empty()) throw CLI::RequiredError("run");
    const auto folder = training::RunFolder::open(*run);
    const auto facts = nlohmann::ordered_json::parse(io::read_text(folder.path() / "run.json"));
    for (const auto& [key, value] : facts.items()) {
      fmt::print("{:<24} {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
    }
  });
}
