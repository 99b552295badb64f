// The subcommands of `scorejet`. Add one: a file with add_NAME(), a line here and one in main.cc.
#pragma once

#include <CLI/CLI.hpp>
#include <stdexcept>
#include <string>

#include "src/base/terminal_listener.h"

namespace scorejet::apps {

// Each adds its subcommand to `app`; its work is the subcommand's callback.
void add_data(CLI::App& app);
void add_train(CLI::App& app);
void add_denoise(CLI::App& app);
void add_calibrate(CLI::App& app);
void add_sample(CLI::App& app);
void add_diagnose(CLI::App& app);
void add_score(CLI::App& app);
void add_causal_order(CLI::App& app);
void add_report(CLI::App& app);
void add_info(CLI::App& app);
void add_reproduce(CLI::App& app);
void add_bench(CLI::App& app);

using base::interruptible_listener;
using base::terminal_listener;

// Thrown by a command that a signal has stopped: says what is left of its work. The exit code is
// the shell's for that signal, 130 for Ctrl-C.
struct Interrupted : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Prints `text` as a note on stderr, unless it is empty.
void print_notice(const std::string& text);

// The command line as it was given, for the record in metrics.json; main() keeps it.
void keep_command_line(int argc, char** argv);
const std::string& command_line();

}  // namespace scorejet::apps
