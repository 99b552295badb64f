// Markov chains on p_sigma, or generation from noise, to a folder: what `scorejet sample` does.
// Add what is written there in write_sample() (sample.cc); a kind of target in sample_target.cc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "src/base/listener.h"
#include "src/tasks/sample_target.h"

namespace scorejet::tasks {

struct SampleOptions {
  TargetRequest target = {};
  std::filesystem::path out;                  // folder to write, made where it is not
  std::vector<std::string> kernels{"ozaki"};  // from the same starts and noise
  double step_size = 0;  // ε, > 0 (with levels: in units of σ²); 0: the kernel's default
  double sigma_max = 0;  // first level; 0: the target's own
  int64_t steps = 100;   // of each chain, or at each level
  int64_t warmup = 0;    // steps before, not kept, in which adjusted kernels adapt ε
  int64_t thin = 0;      // every thin-th position is kept; 0: about 50 in all
  int64_t levels = 0;    // generation down a ladder of so many levels, >= 2; 0: chains
  std::map<std::string, double> kernel_options = {};  // by name; each kernel takes those it has
  bool resume = false;                                // go on from what lies in `out`
  std::string command = {};                           // for the record in metrics.json
};

struct KernelReport {
  std::string name;
  double step_size = 0;           // median over the chains
  int64_t num_evaluations = 0;    // of the score, over all chains
  int64_t num_diverged = 0;       // chains
  int64_t num_bounded_steps = 0;  // chain-steps at which Ozaki's bound was in force
  int64_t num_chain_steps = 0;
  int64_t max_krylov_steps = 0;
  double seconds = 0;
  int64_t resumed_from = -1;  // the step that was gone on from, or -1
  std::string stopped;        // for people: which chains were stopped; "" when none was
};

struct SampleReport {
  std::vector<KernelReport> kernels;
};

// Writes chains.npz (chains_KERNEL.npz where there are several) or samples.npz, metrics.json and,
// of images, course.png or samples.png. Progress: each kernel is a task. A run cannot be stopped by
// the listener, but killed and resumed. Errors: std::invalid_argument, std::domain_error and
// std::runtime_error naming the option or the file.
SampleReport sample(SampleOptions options, const base::Listener& listener = {});

}  // namespace scorejet::tasks
