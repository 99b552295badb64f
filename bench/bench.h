// How fast this machine runs what the library does, part by part, beside the machine's own peaks:
// what `scorejet bench` prints. Add a case in bench_cases.cc; how it is timed and judged is here
// and in bench.cc.
#pragma once

#include <c10/core/Device.h>

#include <array>
#include <functional>
#include <string>
#include <vector>

namespace scorejet::bench {

// Of the machine, measured in the same run: what a case is held against. The first two count
// floating-point operations, the last bytes.
enum class Peak { kGemm, kConvolution, kCopy };

const char* peak_name(Peak peak);  // "GEMM", "convolution", "copy"

struct BenchCase {
  std::string group, name;
  std::function<void()> run;
  Peak peak;
  double work;  // of one run: operations, or bytes that must move
};

struct BenchFigure {
  std::string group, name;
  double seconds;  // median of one run
  double rate;     // work a second
  Peak peak;
  double share;  // of the peak's rate
};

struct BenchReport {
  std::string device;
  int threads;                  // of the CPU
  std::array<double, 3> peaks;  // by Peak, work a second: the fastest of several sizes
  std::vector<BenchFigure> figures;
};

// The cases on a device: a training step of a U-Net and of an MLP and its parts, posteriors, a step
// of every kernel; random weights and data, nothing is read.
std::vector<BenchCase> bench_cases(at::Device device);

// Times every case for about `seconds` (at least three runs), in rounds that alternate between the
// cases and the peaks of `device`; a run ends when the device has done it. Errors:
// std::domain_error for seconds <= 0.
BenchReport run_bench(const std::vector<BenchCase>& cases, double seconds, at::Device device);

}  // namespace scorejet::bench
