#include "src/training/checkpoint.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <charconv>
#include <sstream>

#include "src/base/error.h"
#include "src/io/safetensors.h"
#include "src/io/tensor_bridge.h"
#include "src/nets/network.h"
#include "src/training/given_first.h"

namespace scorejet::training {
namespace {

constexpr const char* kFormat = "scorejet checkpoint 1";
using Metadata = std::map<std::string, std::string>;

const std::string& entry(const Metadata& metadata, const std::string& key,
                         const std::string& source) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) {
    base::fail_runtime("training::checkpoint", "{} must hold metadata \"{}\"; got none", source,
                       key);
  }
  return found->second;
}

template <typename T>
T number(const Metadata& metadata, const std::string& key, const std::string& source) {
  const std::string& text = entry(metadata, key, source);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    base::fail_runtime("training::checkpoint", "{}: metadata {} must be a number; got \"{}\"",
                       source, key, text);
  }
  return value;
}

// The name of a setting of the model in the metadata: its key without the section.
std::string recorded_name(const base::Setting& setting) {
  return setting.key.substr(setting.key.find('.') + 1);
}

bool is_recorded(const base::Setting& setting) { return !setting.recorded || setting.recorded(); }

std::string recorded_text(const base::Setting& setting) {
  if (const auto* flag = std::get_if<bool*>(&setting.value)) return **flag ? "1" : "0";
  return setting.text();
}

void read_recorded(base::Setting& setting, const Metadata& metadata, const std::string& source) {
  const std::string name = recorded_name(setting);
  const bool there = metadata.count(name) > 0;
  if (!there && !setting.before && !is_recorded(setting)) return;
  const std::string& text =
      there || !setting.before ? entry(metadata, name, source) : *setting.before;
  if (setting.set(text)) return;
  const std::string names = setting.requirement();
  const bool choice = std::holds_alternative<base::Choice>(setting.value);
  base::fail_runtime("training::checkpoint", "{}: metadata {} must be {}; got \"{}\"", source, name,
                     choice ? names : "a number", text);
}

// Copies file tensor `key` into `target`, whose shape it must have.
void restore(const io::SafeTensors& file, const std::string& key, const at::Tensor& target,
             const std::string& source) {
  const auto found = file.tensors.find(key);
  if (found == file.tensors.end()) {
    base::fail_runtime("training::checkpoint",
                       "{} must hold {} {}, as this model has; it is a checkpoint of another model",
                       source, key, io::shape_string(target.sizes().vec()));
  }
  if (found->second.shape != target.sizes().vec() || found->second.dtype != io::DType::kFloat32) {
    base::fail_runtime("training::checkpoint",
                       "{}: {} must be float32 {}, as this model has; got {} {} (a checkpoint of "
                       "another model)",
                       source, key, io::shape_string(target.sizes().vec()),
                       io::dtype_name(found->second.dtype), io::shape_string(found->second.shape));
  }
  at::Tensor(target).copy_(io::to_tensor(found->second));
}

// The s1 that a model was given, from the file it was given it in.
std::shared_ptr<const score::ScoreField> given_field(const models::ScoreModelOptions& options,
                                                     const std::filesystem::path& file,
                                                     at::Device device) {
  const std::string& name = options.given_first;
  if (name.empty()) return nullptr;
  const nets::NetworkOptions& n = options.network;
  const std::vector<int64_t> shape =
      n.image_shape.empty() ? std::vector<int64_t>{n.dim} : n.image_shape;
  const GivenFirst given = open_given_first(
      file, score::parse_prediction(name.substr(0, name.find(' '))), shape, device);
  if (given.name != name) {
    base::fail_runtime("training::load_model",
                       "{} must be the file that the model was trained on, \"{}\"; got \"{}\"",
                       file.string(), name, given.name);
  }
  return given.field;
}

io::SafeTensors read_checkpoint(const std::filesystem::path& path) {
  io::SafeTensors file = io::read_safetensors(path);
  const std::string source = path.string();
  if (entry(file.metadata, "format", source) != kFormat) {
    base::fail_runtime("training::checkpoint", "{} must be of format \"{}\"; got \"{}\"", source,
                       kFormat, file.metadata["format"]);
  }
  return file;
}

}  // namespace

Metadata describe_model(const models::ScoreModelOptions& options) {
  models::ScoreModelOptions copy = options;
  copy.network.kind = nets::resolve_kind(options.network);
  const nets::NetworkOptions& n = copy.network;
  Metadata result{{"dim", std::to_string(n.dim)},
                  {"image_shape", fmt::format("{}", fmt::join(n.image_shape, "x"))}};
  for (const base::Setting& setting : copy.settings()) {
    if (is_recorded(setting)) result[recorded_name(setting)] = recorded_text(setting);
  }
  if (!copy.given_first.empty()) result["s1"] = copy.given_first;
  return result;
}

models::ScoreModelOptions parse_model(const Metadata& description, const std::string& source) {
  models::ScoreModelOptions options;
  nets::NetworkOptions& n = options.network;
  n.dim = number<int64_t>(description, "dim", source);
  std::istringstream shape(entry(description, "image_shape", source));
  for (std::string size; std::getline(shape, size, 'x');) {
    n.image_shape.push_back(number<int64_t>({{"image_shape", size}}, "image_shape", source));
  }
  if (description.count("s1")) options.given_first = description.at("s1");
  for (base::Setting& setting : options.settings()) read_recorded(setting, description, source);
  return options;
}

void save_checkpoint(const std::filesystem::path& path, const models::ScoreModel& model,
                     const FlatParameters& parameters, const TrainingState& state) {
  io::SafeTensors file;
  for (const auto& [name, tensor] : parameters.unflatten(parameters.values())) {
    file.tensors["weights/" + name] = io::from_tensor(tensor);
  }
  for (const auto& [name, tensor] : parameters.unflatten(state.adam.average)) {
    file.tensors["ema/" + name] = io::from_tensor(tensor);
  }
  file.tensors["adam/m"] = io::from_tensor(state.adam.first_moment);
  file.tensors["adam/v"] = io::from_tensor(state.adam.second_moment);
  file.tensors["data/mean"] = io::from_tensor(model.data_mean());
  file.tensors["data/variance"] = io::from_tensor(model.data_variance());
  file.metadata = describe_model(model.options());
  file.metadata["format"] = kFormat;
  file.metadata["step"] = std::to_string(state.adam.step);
  file.metadata["num_parameters"] = std::to_string(parameters.size());
  file.metadata["seconds"] = fmt::format("{}", state.seconds);
  file.metadata["best_first"] = fmt::format("{}", state.best_first);
  file.metadata["best_second"] = fmt::format("{}", state.best_second);
  if (model.max_order() >= 3) file.metadata["best_third"] = fmt::format("{}", state.best_third);
  file.metadata["best_step"] = std::to_string(state.best_step);
  io::write_safetensors(path, file);
}

TrainingState load_checkpoint(const std::filesystem::path& path, const models::ScoreModel& model,
                              const FlatParameters& parameters) {
  const io::SafeTensors file = read_checkpoint(path);
  const std::string source = path.string();
  const Metadata expected = describe_model(model.options());
  const Metadata found = describe_model(parse_model(file.metadata, source));
  Metadata keys = expected;
  keys.insert(found.begin(), found.end());
  for (const auto& [key, any] : keys) {
    const auto said = [&key = key](const Metadata& description) -> std::string {
      const auto it = description.find(key);
      return it != description.end() ? it->second : key == "s1" ? "learned" : "none";
    };
    if (said(found) != said(expected)) {
      base::fail_runtime("training::load_checkpoint",
                         "{} is a checkpoint of another model: {} must be \"{}\"; got \"{}\"",
                         source, key, said(expected), said(found));
    }
  }
  TrainingState state;
  state.adam = make_adam_state(parameters.values());
  at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : parameters.unflatten(parameters.values())) {
    restore(file, "weights/" + name, tensor, source);
  }
  for (const auto& [name, tensor] : parameters.unflatten(state.adam.average)) {
    restore(file, "ema/" + name, tensor, source);
  }
  restore(file, "adam/m", state.adam.first_moment, source);
  restore(file, "adam/v", state.adam.second_moment, source);
  state.adam.step = number<int64_t>(file.metadata, "step", source);
  state.seconds = number<double>(file.metadata, "seconds", source);
  state.best_first = number<double>(file.metadata, "best_first", source);
  state.best_second = number<double>(file.metadata, "best_second", source);
  if (model.max_order() >= 3) {
    state.best_third = number<double>(file.metadata, "best_third", source);
  }
  state.best_step = number<int64_t>(file.metadata, "best_step", source);
  return state;
}

std::unique_ptr<models::ScoreModel> load_model(const std::filesystem::path& path,
                                               const std::filesystem::path& first_order,
                                               at::Device device) {
  const io::SafeTensors file = read_checkpoint(path);
  const std::string source = path.string();
  const models::ScoreModelOptions options = parse_model(file.metadata, source);
  at::Tensor mean = at::empty({options.network.dim});
  at::Tensor variance = at::empty({options.network.dim});
  restore(file, "data/mean", mean, source);
  restore(file, "data/variance", variance, source);
  auto model = std::make_unique<models::ScoreModel>(options, mean, variance,
                                                    given_field(options, first_order, device));
  // The flat buffer owns the memory that the module's parameters then view.
  FlatParameters parameters(model->network());
  at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : parameters.unflatten(parameters.values())) {
    restore(file, "ema/" + name, tensor, source);
  }
  for (at::Tensor parameter : model->network().parameters()) {
    parameter.set_requires_grad(false);
    parameter.mutable_grad() = at::Tensor();
  }
  model->to(device);
  return model;
}

double checkpoint_number(const std::filesystem::path& path, const std::string& key) {
  return number<double>(read_checkpoint(path).metadata, key, path.string());
}

}  // namespace scorejet::training
