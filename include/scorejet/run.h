// Train a run, and load one for use. Change the training loop in src/training/trainer.cc, what a
// run folder holds in run_folder.cc; what a run can be told is run_config.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "scorejet/listener.h"
#include "scorejet/run_config.h"
#include "scorejet/score_model.h"

namespace scorejet::training {

struct TrainOptions {
  std::filesystem::path out;     // the run folder
  bool resume = false;           // go on from its checkpoint
  std::string device = "auto";   // auto, cpu, cuda, cuda:N
  base::Listener listener = {};  // asked to stop after every step: then checkpoint and return
};

struct TrainResult {
  int64_t step = 0;
  double seconds = 0;  // in training, over all sessions
  bool finished = true;
  std::string notice = {};  // of the data, or ""
};

// Trains and fills the run folder: config.toml (all that was in force),
// checkpoints/last.safetensors, metrics.jsonl, run.json, and s1.pt where s1.from is given. With a
// fixed number of steps a resumed run gives the same weights, bit for bit, as one that was never
// stopped (same machine, same number of threads); with train.max_seconds the clock decides, so it
// does not. Errors: std::runtime_error when the folder already holds a run (and resume is false),
// when it cannot be written, when a loss becomes NaN or infinite (naming the step, σ and last
// checkpoint).
TrainResult train(const RunConfig& config, const TrainOptions& options);

// A trained run, ready to use.
struct Run {
  RunConfig config;
  std::shared_ptr<models::ScoreModel> model;  // averaged weights
  double train_seconds = 0;
  int64_t step = 0;
};
// Errors: std::runtime_error naming the file: missing, malformed, or of another model; for `device`
// std::invalid_argument.
Run load_run(const std::filesystem::path& path, const std::string& device);

// What to tell a user who evaluates the run at a sigma it was not trained on; "" when it was.
std::string sigma_notice(const Run& run, double sigma);

}  // namespace scorejet::training
