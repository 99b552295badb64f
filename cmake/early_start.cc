// Linked into the tests and benchmarks: sets how threads wait (base/waiting.h) before LibTorch is
// loaded. The command has a launcher for that (apps/launcher.cc), which is quicker.
#include <sys/auxv.h>
#include <unistd.h>

#include <climits>
#include <cstring>

#include "src/base/waiting.h"

namespace {

using namespace scorejet::base;

bool names(const char* entry, const char* variable) {
  const size_t length = std::strlen(variable);
  return std::strncmp(entry, variable, length) == 0 && entry[length] == '=';
}

// Starts the program once more with the variable set, unless the user chose. Nothing of libc is
// initialised yet: system calls and plain memory only.
void start_with_waiting_policy(int, char** argv, char** environment) {
  if (getauxval(AT_BASE) == 0)
    return;  // started by way of the loader, which would be started again
  constexpr size_t kMost = 4096;
  size_t count = 0;
  for (; environment[count] != nullptr; ++count) {
    if (names(environment[count], kWaitingVariable)) return;
    if (names(environment[count], kWaitingPolicy)) return;
  }
  if (count > kMost) return;
  static char* next[kMost + 2];
  static char setting[64];
  static char program[PATH_MAX + 1];
  std::memcpy(next, environment, count * sizeof(char*));
  std::strcpy(setting, kWaitingVariable);
  std::strcat(setting, "=");
  std::strcat(setting, kWaitingRounds);
  next[count] = setting;
  next[count + 1] = nullptr;
  const ssize_t length = readlink("/proc/self/exe", program, PATH_MAX);
  if (length <= 0) return;
  program[length] = '\0';
  execve(program, argv, next);  // returns only where that cannot be: then all is as before
}

}  // namespace

// Before the constructors of every library, which .init_array would come after.
__attribute__((section(".preinit_array"),
               used)) void (*const scorejet_early_start)(int, char**,
                                                         char**) = start_with_waiting_policy;
