// The folder of a run and its files: config.toml, checkpoints/last.safetensors, metrics.jsonl,
// run.json, and s1.pt where s1 is given.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "scorejet/dataset.h"
#include "scorejet/run.h"
#include "scorejet/score_model.h"
#include "src/training/checkpoint.h"
#include "src/training/step.h"

namespace scorejet::training {

// Mean and variance per coordinate ([D] each); for images those of the whole channel, so that
// pixels that are constant in the data do no harm. Errors: std::domain_error naming a constant
// column.
std::pair<at::Tensor, at::Tensor> coordinate_moments(const data::Dataset& dataset);

// A run's own copy of the file of an s1 that it was given.
std::filesystem::path first_order_file(const std::filesystem::path& run);

class RunFolder {
 public:
  // Makes the folder. Errors: std::runtime_error when it holds a checkpoint and `resume` is false,
  // or cannot be written.
  static RunFolder create(const std::filesystem::path& path, bool resume);
  // Opens one that exists. Errors: std::runtime_error naming what is missing.
  static RunFolder open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path checkpoint() const { return path_ / "checkpoints" / "last.safetensors"; }
  bool has_checkpoint() const;

  void copy_first_order(const std::filesystem::path& file) const;
  void write_config(const std::string& toml) const;
  // Drops metrics of steps after `step` (and a torn last line), as a resumed run will write them
  // anew.
  void rewind_metrics(int64_t step) const;
  void append_metrics(int64_t step, double seconds, double rate, const StepLosses& train,
                      const StepLosses* validation) const;
  void write_summary(const RunConfig& config, const models::ScoreModel& model,
                     int64_t num_parameters, const TrainingState& state,
                     const std::vector<std::string>& notices) const;

 private:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace scorejet::training
