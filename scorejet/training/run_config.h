// Everything a run can be told, as one plain struct, and the one list of its fields that the
// configuration file, --set, the help text and the checkpoint all use. Add a setting: a member here
// and a line in fields() (run_config.cc).
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace scorejet::training {

struct DataConfig {
  std::string name = "mnist";  // a known data set, or the path of a file or folder
  std::string dir = "data";
  int64_t validation = 1000;
};

struct NoiseConfig {
  double sigma = 0.5;
  double sigma_max = 0.0;
};

struct ModelConfig {
  std::string network = "auto";
  std::string s2 = "low_rank";
  int64_t rank = 20;
  std::string s3 = "none";
  int64_t s3_rank = 20;
  std::string parameterisation = "psd";
  std::string scale = "noise";
  bool share_trunk = true;
  int64_t width = 256;
  int64_t depth = 2;
  int64_t channels = 32;
  int64_t blocks = 1;
  int64_t levels = 2;
  int64_t patch = 2;
};

struct FirstConfig {
  std::string from;  // a TorchScript file: s1 is its network's; empty: learned
  std::string predicts = "score";
};

struct LossConfig {
  std::string form = "centred";
  bool variance_reduction = true;
  double sigma_power = 0;
  double gamma = 0.1;
  double variance_power = 0;
  double likelihood = 0;
  double leading = 0;
  double gamma3 = 0.01;
};

struct TrainConfig {
  int64_t steps = 5000;
  double max_seconds = 0;
  int64_t batch = 64;
  double learning_rate = 1e-3;
  int64_t warmup = 50;
  double clip_norm = 1.0;
  double trunk_share = 1.0;
  double ema = 0.999;
  int64_t validate_every = 500;
  int64_t checkpoint_every = 500;
  int64_t seed = 0;
};

struct RunConfig {
  DataConfig data;
  NoiseConfig noise;
  ModelConfig model;
  FirstConfig s1;
  LossConfig loss;
  TrainConfig train;
  std::set<std::string> given;  // keys that a file or --set named, as against defaults
};

struct Field {
  std::string key;  // "train.batch"
  std::variant<std::string*, int64_t*, double*, bool*> value;
  std::string help;  // meaning, unit, range
};

// The fields of `config` in the order in which they are written.
std::vector<Field> fields(RunConfig& config);

// Reads a TOML file over the defaults. Errors: std::runtime_error when it cannot be read or parsed;
// std::invalid_argument for an unknown or ill-typed key, with its line and the nearest valid key.
RunConfig read_config(const std::filesystem::path& path);

// Applies "key.path=value" over `config`. The value is TOML; a bare word is taken as text.
// Errors: std::invalid_argument, as above, naming the assignment.
void apply_setting(RunConfig& config, const std::string& assignment);

// Checks every value against its range. Errors: std::invalid_argument naming key, range and value.
void validate(const RunConfig& config);

// TOML text of every field, with its meaning as a comment; read_config of it gives `config` back.
std::string to_toml(const RunConfig& config);

}  // namespace scorejet::training
