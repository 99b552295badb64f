// A training state on disk: one safetensors file, replaced atomically. Random numbers are a
// function of (seed, step), so the step is all there is to save of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "scorejet/score_model.h"
#include "src/training/flat_parameters.h"
#include "src/training/optimiser.h"

namespace scorejet::training {

struct TrainingState {
  AdamState adam;
  double seconds = 0;     // spent in training so far, over all sessions
  double best_first = 0;  // best validation losses so far
  double best_second = 0;
  double best_third = 0;
  int64_t best_step = -1;  // of the lowest order's that is learned; -1 before the first validation
};

// What describes a model, so that one can be made from it and a file of another is recognised:
// every setting of its options by its name ("rank" for model.rank), and what the data and a given
// s1 said.
std::map<std::string, std::string> describe_model(const models::ScoreModelOptions& options);
// The options again. A setting that the description lacks is what it meant to files of before there
// was that setting. Errors: std::runtime_error naming `source` for an entry that is malformed, or
// missing where every file has had it.
models::ScoreModelOptions parse_model(const std::map<std::string, std::string>& description,
                                      const std::string& source);

// Tensors: weights/NAME and ema/NAME (module shapes), adam/m, adam/v ([P]), data/mean,
// data/variance ([D]). Metadata: the model's description and the scalars of the state.
void save_checkpoint(const std::filesystem::path& path, const models::ScoreModel& model,
                     const FlatParameters& parameters, const TrainingState& state);

// Restores weights, optimiser and EMA. Errors: std::runtime_error naming the file, and the key and
// shape that differ when it belongs to another model.
TrainingState load_checkpoint(const std::filesystem::path& path, const models::ScoreModel& model,
                              const FlatParameters& parameters);

// A model for use: averaged weights, ready to evaluate. `first_order` is the file of the s1 that it
// was given, where it was. Errors as above; std::runtime_error when that file is another one.
std::unique_ptr<models::ScoreModel> load_model(const std::filesystem::path& path,
                                               const std::filesystem::path& first_order = {},
                                               at::Device device = at::kCPU);

// One entry of the metadata as a number, e.g. "seconds", "step", "best_first".
double checkpoint_number(const std::filesystem::path& path, const std::string& key);

}  // namespace scorejet::training
