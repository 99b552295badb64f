// The training loop of a run: batches, steps, validation, checkpoints, metrics, resume.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>

#include "scorejet/data/dataset.h"
#include "scorejet/models/score_model.h"
#include "scorejet/training/given_first.h"
#include "scorejet/training/run_config.h"
#include "scorejet/training/step.h"

namespace scorejet::training {

struct TrainOptions {
  std::filesystem::path out;                // the run folder
  bool resume = false;                      // go on from its checkpoint
  std::string device = "auto";              // auto, cpu, cuda, cuda:N
  const std::atomic<bool>* stop = nullptr;  // when it becomes true: checkpoint and return
};

struct TrainResult {
  int64_t step = 0;
  double seconds = 0;  // in training, over all sessions
  bool finished = true;
  std::string notice = {};  // of the data, or ""
};

// A freshly initialised model for a data set, as the configuration describes it, on top of an s1
// where one is given. Initialisation depends on train.seed only.
std::unique_ptr<models::ScoreModel> make_model(const RunConfig& config, const data::Dataset& train,
                                               const GivenFirst& given = {});

// The clean samples, noise and σ of step `step`: a pure function of (train.seed, step). A range of
// σ is covered evenly in every batch, in ln σ, but for the ends, which come up twice as often: each
// is learned from one side only.
NoisyBatch draw_batch(const RunConfig& config, const data::Dataset& train, int64_t step,
                      int64_t size, const char* stream);

NoisyBatch to_device(const NoisyBatch& batch, at::Device device);

// Trains and fills the run folder: config.toml (all that was in force),
// checkpoints/last.safetensors, metrics.jsonl, run.json, and s1.pt where s1.from is given. With a
// fixed number of steps a resumed run gives the same weights, bit for bit, as one that was never
// stopped (same machine, same number of threads); with train.max_seconds the clock decides, so it
// does not. Errors: std::runtime_error when the folder already holds a run (and resume is false),
// when it cannot be written, when a loss becomes NaN or infinite (naming the step, σ and last
// checkpoint).
TrainResult train(const RunConfig& config, const TrainOptions& options);

}  // namespace scorejet::training
