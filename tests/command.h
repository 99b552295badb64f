// Runs the `scorejet` command as a user would.
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include "src/io/atomic_file.h"
#include "tests/scratch.h"

namespace scorejet::testing {

inline std::string command() {
  return std::string(std::getenv("SCOREJET_BINARY_DIR")) + "/scorejet ";
}

struct Outcome {
  int code;
  std::string output;  // of both streams
};

inline Outcome run(const Scratch& scratch, const std::string& arguments) {
  const std::filesystem::path log = scratch / "log.txt";
  const int status = std::system((command() + arguments + " >" + log.string() + " 2>&1").c_str());
  return {WEXITSTATUS(status), io::read_text(log)};
}

}  // namespace scorejet::testing
