#include "src/base/threads.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <malloc.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "src/base/error.h"

namespace scorejet::base {
namespace {

// CPUs granted by the cgroup v2 quota "max|quota period", or 0 when there is none.
int cgroup_cpus() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
  return static_cast<int>(std::ceil(std::strtod(quota.c_str(), nullptr) / period));
}

}  // namespace

std::string blas_core_type(const std::string& chosen, SimdLevel level) {
  if (chosen != "Prescott" || level == SimdLevel::kBaseline) return "";
  return level == SimdLevel::kAvx512 ? "SkylakeX" : "Haswell";
}

void restart_with_known_blas(char** argv) {
  constexpr const char* kVariable = "OPENBLAS_CORETYPE";
  void* const symbol = dlsym(RTLD_DEFAULT, "openblas_get_corename");
  if (symbol == nullptr || std::getenv(kVariable) != nullptr) return;
  const std::string core = blas_core_type(reinterpret_cast<char* (*)()>(symbol)(), simd_level());
  if (core.empty()) return;
  std::error_code failed;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (failed) return;
  setenv(kVariable, core.c_str(), 0);
  execv(program.c_str(), argv);
  unsetenv(kVariable);  // as before, where that cannot be
}

int num_threads() {
  if (const char* text = std::getenv("SCOREJET_THREADS")) {
    const std::string value = text;
    int threads = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), threads);
    if (error != std::errc() || end != value.data() + value.size() || threads < 1 ||
        threads > 1024) {
      fail_argument("base::num_threads",
                    "SCOREJET_THREADS must be an integer from 1 to 1024; got \"{}\"", value);
    }
    return threads;
  }
  cpu_set_t mask;
  CPU_ZERO(&mask);
  int cpus = sched_getaffinity(0, sizeof(mask), &mask) == 0
                 ? CPU_COUNT(&mask)
                 : static_cast<int>(std::thread::hardware_concurrency());
  if (const int quota = cgroup_cpus(); quota > 0) cpus = std::min(cpus, quota);
  return std::max(cpus, 1);
}

void configure_process() {
  at::set_num_threads(num_threads());
#ifdef __GLIBC__
  constexpr int kLargest = 1 << 30;  // bytes
  mallopt(M_MMAP_THRESHOLD, kLargest);
  mallopt(M_TRIM_THRESHOLD, kLargest);
  mallopt(M_TOP_PAD, 1 << 26);
#endif
}

}  // namespace scorejet::base
