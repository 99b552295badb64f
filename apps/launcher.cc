// The `scorejet` that a user starts: sets what must stand in the environment before LibTorch is
// loaded (base/waiting.h), then becomes the command proper, scorejet-main. It links nothing, so it
// costs a millisecond.
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "src/base/waiting.h"

int main(int, char** argv) {
  using namespace scorejet::base;
  if (std::getenv(kWaitingPolicy) == nullptr) setenv(kWaitingVariable, kWaitingRounds, 0);
  char self[PATH_MAX + 1] = "";
  if (readlink("/proc/self/exe", self, PATH_MAX) < 0) self[0] = '\0';
  const std::string path = self;
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  const std::string places[] = {folder + "scorejet-main",
                                folder + "../libexec/scorejet/scorejet-main"};
  for (const std::string& place : places) {
    if (access(place.c_str(), X_OK) == 0) execv(place.c_str(), argv);
  }
  std::fprintf(stderr, "scorejet: [start] %s must be a program; got \"%s\"\n", places[0].c_str(),
               std::strerror(errno));
  return 1;
}
