// scorejet report RUN
#include <fmt/format.h>

#include <memory>

#include "apps/commands.h"
#include "src/report/run_report.h"

void scorejet::apps::add_report(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "report", "Rebuild RUN/report.html.\n\nExample:\n  scorejet report runs/mnist");
  auto run = std::make_shared<std::string>();
  command->add_option("run", *run, "run folder")->required();
  command->callback([run] {
    report::build_report(*run);
    fmt::print("{}/report.html\n", *run);
  });
}
