#include "scorejet/run_config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "src/base/error.h"
#include "src/io/atomic_file.h"
#include "src/objectives/sketch.h"
#include "src/objectives/terms.h"

namespace scorejet::training {
namespace {

using base::Setting;

std::vector<std::string> known_keys() {
  RunConfig config;
  std::vector<std::string> names;
  for (const Setting& setting : config.settings()) names.push_back(setting.key);
  return names;
}

std::string section_of(const std::string& key) { return key.substr(0, key.find('.')); }

// Stores a TOML value; false when its type does not fit. An integer serves as a number, and text is
// checked against the names of a choice: `fits` says so.
bool assign(Setting& setting, const toml::node& node, bool& fits) {
  fits = true;
  if (auto* integer = std::get_if<int64_t*>(&setting.value)) {
    const auto value = node.value_exact<int64_t>();
    if (value) **integer = *value;
    return value.has_value();
  }
  if (auto* number = std::get_if<double*>(&setting.value)) {
    if (node.is_boolean()) return false;
    const auto value = node.value<double>();
    if (value) **number = *value;
    return value.has_value();
  }
  if (auto* flag = std::get_if<bool*>(&setting.value)) {
    const auto value = node.value_exact<bool>();
    if (value) **flag = *value;
    return value.has_value();
  }
  const auto value = node.value_exact<std::string>();
  if (value) fits = setting.set(*value);
  return value.has_value();
}

// `where` says which file and line, or which --set, in errors.
void assign_key(RunConfig& config, const std::string& key, const toml::node& node,
                const std::string& where) {
  for (Setting& setting : config.settings()) {
    if (setting.key != key) continue;
    bool fits = true;
    if (!assign(setting, node, fits)) {
      std::ostringstream found;
      found << node.type();
      base::fail_argument("training::config", "{}: {} must be {}; got a TOML {}", where, key,
                          setting.type(), found.str());
    }
    if (!fits) {
      base::fail_argument("training::config", "{}: {} must be {}; got \"{}\"", where, key,
                          setting.requirement(), node.value_or(std::string()));
    }
    config.given.insert(key);
    return;
  }
  const std::string near = base::nearest(key, known_keys());
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
      const std::vector<std::string> known = known_keys();
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

// What settings ask of each other.
void require(bool good, const char* key, const char* range, const auto& value) {
  if (!good) base::fail_argument("training::config", "{} must be {}; got {}", key, range, value);
}

std::string toml_text(const Setting& setting) {
  const std::string text = setting.text();
  if (setting.type() == std::string("a string")) {
    std::ostringstream stream;
    stream << toml::value<std::string>(text);
    return stream.str();
  }
  const bool whole = std::holds_alternative<double*>(setting.value) &&
                     text.find_first_of(".einf") == std::string::npos;
  return whole ? text + ".0" : text;
}

// Meaning and range.
std::string explain(const Setting& setting) {
  const std::string range = setting.requirement();
  return setting.help + (range.empty() ? "" : "; " + range);
}

}  // namespace

base::Settings RunConfig::settings() {
  base::Settings all;
  for (auto&& part : {data.settings(), noise.settings(), model.settings(), s1.settings(),
                      train.settings(), loss.settings()}) {
    base::append(all, part);
  }
  // A section in one piece, as TOML wants it: some settings of [train] belong to the losses.
  std::vector<std::string> sections;
  const auto place = [&](const Setting& setting) {
    const std::string section = section_of(setting.key);
    const auto found = std::find(sections.begin(), sections.end(), section);
    if (found == sections.end()) sections.push_back(section);
    return std::find(sections.begin(), sections.end(), section) - sections.begin();
  };
  for (const Setting& setting : all) place(setting);
  std::stable_sort(all.begin(), all.end(),
                   [&](const Setting& a, const Setting& b) { return place(a) < place(b); });
  return all;
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

void validate(const RunConfig& config) {
  RunConfig c = config;
  for (const Setting& setting : c.settings()) setting.check("training::config");
  require(c.noise.sigma_max == 0 ||
              (c.noise.sigma_max > c.noise.sigma && std::isfinite(c.noise.sigma_max)),
          "noise.sigma_max", "0, or larger than noise.sigma", c.noise.sigma_max);
  const nets::Structure s2 = c.model.network.s2, s3 = c.model.network.s3;
  require(s3 == nets::Structure::kNone || s2 != nets::Structure::kNone, "model.s3",
          "none where model.s2 is none", nets::structure_name(s3));
  require(c.s1.from.empty() || s2 != nets::Structure::kNone, "model.s2",
          "diagonal, low_rank or full where s1.from is given, as nothing else is learned",
          nets::structure_name(s2));
  require(c.loss.variance_power == 0 || !c.loss.variance_reduction, "loss.variance_power",
          "0 unless loss.variance_reduction is false", c.loss.variance_power);
  const bool psd = c.model.parameterisation == models::Parameterisation::kPsd;
  for (const objectives::Term& term : objectives::terms()) {
    const double weight = c.loss.terms[term.name];
    require(weight == 0 || psd || !term.needs_psd, ("loss." + term.name).c_str(),
            "0 unless model.parameterisation is psd", weight);
  }
  require(c.loss.leading == 0 || s2 == nets::Structure::kLowRank, "loss.leading",
          "0 unless model.s2 is low_rank", c.loss.leading);
  require(c.loss.form != objectives::Form::kSketch || c.train.batch >= 3, "train.batch",
          "at least 3 with loss.form sketch, which takes its vectors from other samples' noise",
          c.train.batch);
  require(c.loss.leading == 0 || c.train.batch > objectives::kLeadingVectors, "train.batch",
          "at least 5 with loss.leading, which takes its vectors from other samples' noise",
          c.train.batch);
}

std::string to_toml(const RunConfig& config) {
  RunConfig copy = config;
  std::string text, section;
  for (const Setting& setting : copy.settings()) {
    if (section_of(setting.key) != section) {
      text += section.empty() ? "" : "\n";
      section = section_of(setting.key);
      text += fmt::format("[{}]\n", section);
    }
    text += fmt::format("{} = {}  # {}\n", setting.key.substr(section.size() + 1),
                        toml_text(setting), explain(setting));
  }
  return text;
}

std::string settings_page() {
  RunConfig defaults;
  std::string text =
      "# Settings\n\n"
      "Every setting of a run: its key in the configuration file and in `--set key=value`, its "
      "default, what\nit may be and what it means. A run's own `config.toml` holds them all. This "
      "page is written by\n`scorejet info --settings`.\n";
  std::string section;
  for (const Setting& setting : defaults.settings()) {
    if (section_of(setting.key) != section) {
      section = section_of(setting.key);
      text += fmt::format(
          "\n## [{}]\n\n| setting | default | values | meaning |\n|---|---|---|---|\n", section);
    }
    const std::string range = setting.requirement();
    text += fmt::format("| `{}` | `{}` | {} | {} |\n", setting.key, toml_text(setting),
                        range.empty() ? setting.type() : range, setting.help);
  }
  return text;
}

}  // namespace scorejet::training
