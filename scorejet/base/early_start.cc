// Linked into scorejet's own programs (not the library): how OpenMP's threads wait for work, which
// libgomp reads when it is loaded, so before main(). Change the waiting here.
//
// A thread that waits by spinning for its 300,000 rounds holds its core while another program wants
// it, and with LibTorch's hundreds of short parallel loops a step most of the time is then spent
// waiting for a thread that is not running. So it spins for some 30 microseconds, then
// sleeps: less makes small steps slower on an idle machine (1.3 times at 300 rounds), more makes
// all steps slower on a busy one (2 times at 3,000).
#include <sys/auxv.h>
#include <unistd.h>

#include <climits>
#include <cstring>

namespace {

constexpr char kWaiting[] = "GOMP_SPINCOUNT=700";
constexpr const char* kOthers[] = {"GOMP_SPINCOUNT=", "OMP_WAIT_POLICY="};

// Starts the program once more with the variable set, unless the user set one. This runs before
// LibTorch's own start, so it costs some milliseconds. Nothing of libc is initialised yet: system
// calls and plain memory only.
void start_with_waiting_policy(int, char** argv, char** environment) {
  if (getauxval(AT_BASE) == 0) return;  // started by way of the loader: that would be started
  long count = 0;
  for (; environment[count] != nullptr; ++count) {
    for (const char* name : kOthers) {
      if (std::strncmp(environment[count], name, std::strlen(name)) == 0) return;
    }
  }
  constexpr long kMost = 4096;
  static char* next[kMost + 2];
  static char setting[sizeof(kWaiting)];
  static char program[PATH_MAX + 1];
  if (count > kMost) return;
  std::memcpy(setting, kWaiting, sizeof(kWaiting));
  std::memcpy(next, environment, static_cast<size_t>(count) * sizeof(char*));
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
