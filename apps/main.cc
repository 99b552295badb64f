// The `scorejet` command: parses, calls the subcommand, turns errors into one line and an exit code
// (0 good, 1 run-time failure, 2 bad usage, 128 + its number for a signal that stopped it).
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <cstdio>
#include <string_view>

#include "apps/commands.h"
#include "src/base/error.h"
#include "src/base/terminal_listener.h"
#include "src/base/threads.h"

namespace {

int fail(int code, std::string text) {
  fmt::print(stderr, "scorejet: {}\n", text.substr(0, text.find('\n')));
  return code;
}

// CLI11 says "A subcommand is required" when the one given is misspelled; name it and the nearest.
std::string usage_message(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* last = &app;
  while (!last->get_subcommands().empty()) last = last->get_subcommands().front();
  const std::vector<std::string> unknown = last->remaining();
  if (unknown.empty() || last->get_subcommands({}).empty()) return error.what();
  std::vector<std::string> names;
  for (const CLI::App* command : last->get_subcommands({})) names.push_back(command->get_name());
  const std::string near = scorejet::base::nearest(unknown.front(), names);
  return fmt::format("{} has no subcommand '{}'{}", last->get_name(), unknown.front(),
                     near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
}

}  // namespace

int main(int argc, char** argv) {
  using namespace scorejet;
  const std::string_view command = argc > 1 ? argv[1] : "";
  if (command == "train" || command == "reproduce" || command == "bench") {
    base::restart_with_known_blas(argv);
  }
  apps::keep_command_line(argc, argv);
  CLI::App app{
      "Learn scores of order one to three of a data distribution by denoising, and use them:\n"
      "denoise with error bars, sample with curvature.\n\nExample:\n"
      "  scorejet data fetch mnist && scorejet train configs/quickstart.toml --out runs/mnist"};
  app.name("scorejet");
  app.require_subcommand(1);
  app.set_version_flag("--version", "scorejet 0.1.0");
  apps::add_data(app);
  apps::add_train(app);
  apps::add_denoise(app);
  apps::add_calibrate(app);
  apps::add_sample(app);
  apps::add_diagnose(app);
  apps::add_score(app);
  apps::add_causal_order(app);
  apps::add_report(app);
  apps::add_info(app);
  apps::add_reproduce(app);
  apps::add_bench(app);
  // Subcommands run in their callbacks, inside parse(): usage errors and work share one handler.
  try {
    base::configure_process();
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return fail(2, usage_message(app, error) + " (see scorejet --help)");
  } catch (const apps::Interrupted& error) {
    return fail(128 + base::stop_signal(), error.what());
  } catch (const std::invalid_argument& error) {
    return fail(2, error.what());
  } catch (const c10::Error& error) {
    return fail(1, error.what_without_backtrace());
  } catch (const std::exception& error) {
    return fail(1, error.what());
  }
}
