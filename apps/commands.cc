#include "apps/commands.h"

namespace scorejet::apps {
namespace {

std::string& given_line() {
  static std::string line;
  return line;
}

}  // namespace

void keep_command_line(int argc, char** argv) {
  given_line() = "scorejet";
  for (int i = 1; i < argc; ++i) given_line() += std::string(" ") + argv[i];
}

const std::string& command_line() { return given_line(); }

void print_notice(const std::string& text) { terminal_listener().on_notice(text); }

}  // namespace scorejet::apps
