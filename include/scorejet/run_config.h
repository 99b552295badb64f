// Everything a run can be told: structs of options, each with the list of its settings beside its
// members. The configuration file, --set, checks, help, docs/reference/settings.md and (of the
// model) checkpoints all walk settings(). Add a setting: a member and a line in its own struct's
// list; here, or of a network (network_options.h), of the model (score_model.h), of the loss
// (loss_options.h). What two settings ask of each other: validate().
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>

#include "scorejet/dataset.h"
#include "scorejet/loss_options.h"
#include "scorejet/score_model.h"
#include "scorejet/settings.h"
#include "scorejet/torchscript_field.h"

namespace scorejet::training {

struct DataConfig {
  std::string name = "mnist";
  std::string dir = "data";
  int64_t validation = 1000;

  base::Settings settings() {
    std::string known;
    for (const std::string& one : data::dataset_names()) known += one + ", ";
    return {
        {"data.name", &name, known + "or the path of a file or folder (NPY, NPZ, CSV, IDX, PNGs)"},
        {"data.dir", &dir, "folder that `scorejet data fetch` fills"},
        {"data.validation", &validation, "samples held out of training, from the end",
         base::at_least(1)}};
  }
};

struct NoiseConfig {
  double sigma = 0.5;
  double sigma_max = 0.0;

  double largest() const { return std::max(sigma, sigma_max); }

  base::Settings settings() {
    return {{"noise.sigma", &sigma, "noise level, in units of the data", base::positive()},
            {"noise.sigma_max", &sigma_max,
             "0: train at sigma only; else train on the range sigma..sigma_max, in ln sigma"}};
  }
};

struct FirstConfig {
  std::string from;
  score::Prediction predicts = score::Prediction::kScore;

  base::Settings settings() {
    using score::Prediction;
    return {
        {"s1.from", &from,
         "a TorchScript file of x or (x, sigma) that gives s1, frozen, so that s2 is learned on "
         "top; empty: learn s1"},
        {"s1.predicts",
         base::Choice(predicts, {Prediction::kScore, Prediction::kClean, Prediction::kNoise},
                      score::prediction_name),
         "what that file gives"}};
  }
};

struct TrainConfig {
  int64_t steps = 5000;
  double max_seconds = 0;
  int64_t batch = 64;
  double learning_rate = 1e-3;
  int64_t warmup = 50;
  double ema = 0.999;
  int64_t validate_every = 500;
  int64_t checkpoint_every = 500;
  int64_t seed = 0;

  base::Settings settings() {
    const base::Range share{"at least 0 and below 1", [](double v) { return v >= 0 && v < 1; }};
    return {
        {"train.steps", &steps, "optimiser steps", base::at_least(1)},
        {"train.max_seconds", &max_seconds,
         "0: no limit; else the learning rate is annealed by the clock and training ends on "
         "time",
         base::at_least(0)},
        {"train.batch", &batch, "samples a step", base::at_least(1)},
        {"train.learning_rate", &learning_rate, "Adam's peak rate; cosine decay to 0",
         base::positive()},
        {"train.warmup", &warmup, "steps of linear warm-up", base::at_least(0)},
        {"train.ema", &ema, "decay of the averaged weights", share},
        {"train.validate_every", &validate_every, "steps between validations", base::at_least(1)},
        {"train.checkpoint_every", &checkpoint_every, "steps between checkpoints",
         base::at_least(1)},
        {"train.seed", &seed, "seed of initialisation, batches and noise", base::at_least(0)}};
  }
};

struct RunConfig {
  DataConfig data;
  NoiseConfig noise;
  models::ScoreModelOptions model;  // but for what the data say of it
  FirstConfig s1;
  TrainConfig train;
  objectives::LossOptions loss;  // but for sigma_reference, which the noise says
  std::set<std::string> given;   // keys that a file or --set named, as against defaults

  // All of them, in the order in which they are written. They point into this object.
  base::Settings settings();
};

// Reads a TOML file over the defaults. Errors: std::runtime_error when it cannot be read or parsed;
// std::invalid_argument for an unknown or ill-typed key, with its line and the nearest valid key,
// and for a name that is not among those of its setting.
RunConfig read_config(const std::filesystem::path& path);

// Applies "key.path=value" over `config`. The value is TOML; a bare word is taken as text.
// Errors: std::invalid_argument, as above, naming the assignment.
void apply_setting(RunConfig& config, const std::string& assignment);

// Checks every value against its range, and what the settings ask of each other. Errors:
// std::invalid_argument naming key, range and value.
void validate(const RunConfig& config);

// TOML text of every setting, with its meaning as a comment; read_config of it gives `config` back.
std::string to_toml(const RunConfig& config);

// The page docs/reference/settings.md: every setting with its default, range and meaning.
std::string settings_page();

}  // namespace scorejet::training
