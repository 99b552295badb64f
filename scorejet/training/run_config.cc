#include "scorejet/training/run_config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "scorejet/base/error.h"
#include "scorejet/io/atomic_file.h"
#include "scorejet/models/score_model.h"
#include "scorejet/objectives/denoising.h"
#include "scorejet/objectives/sketch.h"
#include "scorejet/score/torchscript_field.h"

namespace scorejet::training {
namespace {

std::vector<std::string> keys() {
  RunConfig config;
  std::vector<std::string> names;
  for (const Field& field : fields(config)) names.push_back(field.key);
  return names;
}

const char* type_name(const Field& field) {
  constexpr const char* kNames[] = {"a string", "an integer", "a number", "true or false"};
  return kNames[field.value.index()];
}

// Stores a TOML value in a field; false when its type does not fit. An integer serves as a number.
bool assign(const Field& field, const toml::node& node) {
  if (auto* text = std::get_if<std::string*>(&field.value)) {
    const auto value = node.value_exact<std::string>();
    if (value) **text = *value;
    return value.has_value();
  }
  if (auto* integer = std::get_if<int64_t*>(&field.value)) {
    const auto value = node.value_exact<int64_t>();
    if (value) **integer = *value;
    return value.has_value();
  }
  if (auto* number = std::get_if<double*>(&field.value)) {
    if (node.is_boolean()) return false;
    const auto value = node.value<double>();
    if (value) **number = *value;
    return value.has_value();
  }
  const auto value = node.value_exact<bool>();
  if (value) *std::get<bool*>(field.value) = *value;
  return value.has_value();
}

// `where` says which file and line, or which --set, in errors.
void assign_key(RunConfig& config, const std::string& key, const toml::node& node,
                const std::string& where) {
  for (const Field& field : fields(config)) {
    if (field.key != key) continue;
    if (assign(field, node)) {
      config.given.insert(key);
      return;
    }
    std::ostringstream found;
    found << node.type();
    base::fail_argument("training::config", "{}: {} must be {}; got a TOML {}", where, key,
                        type_name(field), found.str());
  }
  const std::string near = base::nearest(key, keys());
  base::fail_argument("training::config", "{}: unknown key {}{}", where, key,
                      near.empty() ? "" : fmt::format("; the nearest valid key is {}", near));
}

void assign_table(RunConfig& config, const toml::table& table, const std::string& prefix,
                  const std::string& source) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    const std::string where =
        source.empty() ? "--set" : fmt::format("{} line {}", source, name.source().begin.line);
    if (const toml::table* inner = node.as_table()) {
      const std::vector<std::string> known = keys();
      const bool section = std::any_of(known.begin(), known.end(), [&](const std::string& k) {
        return k.starts_with(key + ".");
      });
      if (section) {
        assign_table(config, *inner, key + ".", source);
        continue;
      }
    }
    assign_key(config, key, node, where);
  }
}

void check(bool good, const char* key, const char* range, const auto& value) {
  if (!good) base::fail_argument("training::config", "{} must be {}; got {}", key, range, value);
}

std::string value_text(const Field& field) {
  if (auto* text = std::get_if<std::string*>(&field.value)) {
    std::ostringstream stream;
    stream << toml::value<std::string>(**text);
    return stream.str();
  }
  if (auto* integer = std::get_if<int64_t*>(&field.value)) return std::to_string(**integer);
  if (auto* number = std::get_if<double*>(&field.value)) {
    const std::string shortest = fmt::format("{}", **number);
    const bool is_float = shortest.find_first_of(".einf") != std::string::npos;
    return is_float ? shortest : shortest + ".0";
  }
  return *std::get<bool*>(field.value) ? "true" : "false";
}

}  // namespace

std::vector<Field> fields(RunConfig& c) {
  return {
      {"data.name", &c.data.name,
       "mnist, fashion-mnist, cifar10, or the path of a file or folder (NPY, NPZ, CSV, IDX, PNGs)"},
      {"data.dir", &c.data.dir, "folder that `scorejet data fetch` fills"},
      {"data.validation", &c.data.validation, "samples held out of training, from the end"},
      {"noise.sigma", &c.noise.sigma, "noise level, in units of the data; > 0"},
      {"noise.sigma_max", &c.noise.sigma_max,
       "0: train at sigma only; else train on the range sigma..sigma_max, in ln sigma"},
      {"model.network", &c.model.network, "auto, mlp (vectors) or unet (images)"},
      {"model.s2", &c.model.s2, "none, diagonal, low_rank or full (small D)"},
      {"model.rank", &c.model.rank, "columns of the factor B of s2 = diag(a) + B B^T; 1..D"},
      {"model.s3", &c.model.s3,
       "third-order score: none, diagonal, low_rank or full (small D); needs an s2"},
      {"model.s3_rank", &c.model.s3_rank,
       "terms of s3 = sum_j gamma_j w_j^3 + diag3(c); at least 1, of any size beside D"},
      {"model.parameterisation", &c.model.parameterisation,
       "psd (the posterior covariance is positive definite by construction) or free"},
      {"model.scale", &c.model.scale,
       "size of the network's outputs as sigma shrinks: noise (images) or data (smooth densities)"},
      {"model.share_trunk", &c.model.share_trunk, "one trunk for all orders, or one each"},
      {"model.width", &c.model.width, "mlp: hidden units a layer"},
      {"model.depth", &c.model.depth, "mlp: hidden layers"},
      {"model.channels", &c.model.channels, "unet: channels at its finest level"},
      {"model.blocks", &c.model.blocks, "unet: residual blocks a level"},
      {"model.levels", &c.model.levels, "unet: resolutions, each half the one before"},
      {"model.patch", &c.model.patch, "unet: pixels a side folded into channels at the input"},
      {"s1.from", &c.s1.from,
       "a TorchScript file of x or (x, sigma) that gives s1, frozen, so that s2 is learned on top; "
       "empty: learn s1"},
      {"s1.predicts", &c.s1.predicts, "what that file gives: score, clean or noise"},
      {"loss.form", &c.loss.form, "what s2 is regressed on: centred, product or sketch"},
      {"loss.variance_reduction", &c.loss.variance_reduction,
       "antithetic pair and control variate where sigma is small beside the data (three "
       "evaluations a "
       "sample); fades out up to 0.8 of their standard deviation"},
      {"loss.sigma_power", &c.loss.sigma_power,
       "the first-order loss at a sigma is weighed by (noise.sigma_max/sigma) to this; 0: all "
       "alike"},
      {"loss.gamma", &c.loss.gamma, "weight of the second-order loss beside the first; > 0"},
      {"loss.variance_power", &c.loss.variance_power,
       "the second-order loss at a noisy sample is weighed by its posterior variance to minus "
       "this; 0: all alike, so that it is mostly that of a few samples"},
      {"loss.likelihood", &c.loss.likelihood,
       "weight of the residual's Gaussian likelihood in the second-order loss (low_rank: moves the "
       "diagonal alone); >= 0"},
      {"loss.leading", &c.loss.leading,
       "weight of the leading directions of s1's Jacobian in the second-order loss, which low_rank "
       "alone has; >= 0"},
      {"loss.gamma3", &c.loss.gamma3, "weight of the third-order loss beside the first; > 0"},
      {"train.steps", &c.train.steps, "optimiser steps"},
      {"train.max_seconds", &c.train.max_seconds,
       "0: no limit; else the learning rate is annealed by the clock and training ends on time"},
      {"train.batch", &c.train.batch, "samples a step"},
      {"train.learning_rate", &c.train.learning_rate, "Adam's peak rate; cosine decay to 0"},
      {"train.warmup", &c.train.warmup, "steps of linear warm-up"},
      {"train.clip_norm", &c.train.clip_norm, "largest gradient norm of each order's parameters"},
      {"train.trunk_share", &c.train.trunk_share,
       "largest norm of a higher order's gradient at a shared trunk, relative to those below"},
      {"train.ema", &c.train.ema, "decay of the averaged weights; 0..1"},
      {"train.validate_every", &c.train.validate_every, "steps between validations"},
      {"train.checkpoint_every", &c.train.checkpoint_every, "steps between checkpoints"},
      {"train.seed", &c.train.seed, "seed of initialisation, batches and noise; >= 0"},
  };
}

RunConfig read_config(const std::filesystem::path& path) {
  const std::string text = io::read_text(path);
  RunConfig config;
  try {
    assign_table(config, toml::parse(text, path.string()), "", path.string());
  } catch (const toml::parse_error& error) {
    base::fail_runtime("training::read_config", "{} line {}: {}", path.string(),
                       error.source().begin.line, std::string(error.description()));
  }
  return config;
}

void apply_setting(RunConfig& config, const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    base::fail_argument("training::config", "--set must be key.path=value; got \"{}\"", assignment);
  }
  const std::string key = assignment.substr(0, equals);
  const std::string value = assignment.substr(equals + 1);
  toml::table table;
  try {
    table = toml::parse("value = " + value);
  } catch (const toml::parse_error&) {
    table.insert("value", value);  // a bare word
  }
  const auto node = table.find("value");
  assign_key(config, key, node->second, fmt::format("--set {}", assignment));
}

void validate(const RunConfig& c) {
  check(c.data.validation >= 1, "data.validation", "at least 1", c.data.validation);
  check(c.noise.sigma > 0 && std::isfinite(c.noise.sigma), "noise.sigma", "positive",
        c.noise.sigma);
  check(c.noise.sigma_max == 0 ||
            (c.noise.sigma_max > c.noise.sigma && std::isfinite(c.noise.sigma_max)),
        "noise.sigma_max", "0, or larger than noise.sigma", c.noise.sigma_max);
  const auto& s2 = c.model.s2;
  check(s2 == "none" || s2 == "diagonal" || s2 == "low_rank" || s2 == "full", "model.s2",
        "none, diagonal, low_rank or full", s2);
  const auto& s3 = c.model.s3;
  check(s3 == "none" || s3 == "diagonal" || s3 == "low_rank" || s3 == "full", "model.s3",
        "none, diagonal, low_rank or full", s3);
  check(s3 == "none" || s2 != "none", "model.s3", "none where model.s2 is none", s3);
  check(c.model.s3_rank >= 1, "model.s3_rank", "at least 1", c.model.s3_rank);
  score::parse_prediction(c.s1.predicts);
  check(c.s1.from.empty() || s2 != "none", "model.s2",
        "diagonal, low_rank or full where s1.from is given, as nothing else is learned", s2);
  models::parse_parameterisation(c.model.parameterisation);
  models::parse_output_scale(c.model.scale);
  objectives::parse_form(c.loss.form);
  check(std::isfinite(c.loss.sigma_power), "loss.sigma_power", "finite", c.loss.sigma_power);
  check(c.loss.gamma > 0 && std::isfinite(c.loss.gamma), "loss.gamma", "positive", c.loss.gamma);
  check(c.loss.variance_power >= 0 && std::isfinite(c.loss.variance_power), "loss.variance_power",
        "at least 0", c.loss.variance_power);
  check(c.loss.variance_power == 0 || !c.loss.variance_reduction, "loss.variance_power",
        "0 unless loss.variance_reduction is false", c.loss.variance_power);
  check(c.loss.likelihood >= 0 && std::isfinite(c.loss.likelihood), "loss.likelihood", "at least 0",
        c.loss.likelihood);
  check(c.loss.likelihood == 0 || c.model.parameterisation == "psd", "loss.likelihood",
        "0 unless model.parameterisation is psd", c.loss.likelihood);
  check(c.loss.leading >= 0 && std::isfinite(c.loss.leading), "loss.leading", "at least 0",
        c.loss.leading);
  check(c.loss.leading == 0 || s2 == "low_rank", "loss.leading", "0 unless model.s2 is low_rank",
        c.loss.leading);
  check(c.loss.gamma3 > 0 && std::isfinite(c.loss.gamma3), "loss.gamma3", "positive",
        c.loss.gamma3);
  check(c.train.steps >= 1, "train.steps", "at least 1", c.train.steps);
  check(c.train.max_seconds >= 0, "train.max_seconds", "at least 0", c.train.max_seconds);
  check(c.train.batch >= 1, "train.batch", "at least 1", c.train.batch);
  check(c.loss.form != "sketch" || c.train.batch >= 3, "train.batch",
        "at least 3 with loss.form sketch, which takes its vectors from other samples' noise",
        c.train.batch);
  check(c.loss.leading == 0 || c.train.batch > objectives::kLeadingVectors, "train.batch",
        "at least 5 with loss.leading, which takes its vectors from other samples' noise",
        c.train.batch);
  check(c.train.learning_rate > 0 && std::isfinite(c.train.learning_rate), "train.learning_rate",
        "positive", c.train.learning_rate);
  check(c.train.warmup >= 0, "train.warmup", "at least 0", c.train.warmup);
  check(c.train.clip_norm > 0, "train.clip_norm", "positive", c.train.clip_norm);
  check(c.train.trunk_share >= 0, "train.trunk_share", "at least 0", c.train.trunk_share);
  check(c.train.ema >= 0 && c.train.ema < 1, "train.ema", "at least 0 and below 1", c.train.ema);
  check(c.train.validate_every >= 1, "train.validate_every", "at least 1", c.train.validate_every);
  check(c.train.checkpoint_every >= 1, "train.checkpoint_every", "at least 1",
        c.train.checkpoint_every);
  check(c.train.seed >= 0, "train.seed", "at least 0", c.train.seed);
}

std::string to_toml(const RunConfig& config) {
  RunConfig copy = config;
  std::string text, section;
  for (const Field& field : fields(copy)) {
    const size_t dot = field.key.find('.');
    if (field.key.substr(0, dot) != section) {
      text += section.empty() ? "" : "\n";
      section = field.key.substr(0, dot);
      text += fmt::format("[{}]\n", section);
    }
    text +=
        fmt::format("{} = {}  # {}\n", field.key.substr(dot + 1), value_text(field), field.help);
  }
  return text;
}

}  // namespace scorejet::training
