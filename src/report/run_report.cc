// What a report contains: the summary, facts, training, one section per result, the configuration.
#include "src/report/run_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "src/base/error.h"
#include "src/io/atomic_file.h"
#include "src/report/facts.h"
#include "src/report/html.h"
#include "src/report/learning_curves.h"
#include "src/report/metrics_log.h"

namespace scorejet::report {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kWhere = "report::build_report";

struct Section {
  fs::path folder;
  std::string kind;
  Json metrics;
};

Json read_object(const fs::path& path) {
  const Json parsed = Json::parse(io::read_text(path), nullptr, false);
  if (!parsed.is_object()) {
    base::fail_runtime(kWhere, "{} must hold a JSON object; got {}", path.string(),
                       parsed.is_discarded() ? "text that is not JSON" : parsed.type_name());
  }
  return parsed;
}

// The string under `key`, "" when there is none.
std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::vector<Section> read_sections(const fs::path& run) {
  std::vector<Section> sections;
  for (const fs::directory_entry& entry : fs::directory_iterator(run)) {
    const fs::path file = entry.path() / "metrics.json";
    if (!entry.is_directory() || !fs::exists(file)) continue;
    Json metrics = read_object(file);
    std::string kind = text_of(metrics, "kind");
    sections.push_back({entry.path(), std::move(kind), std::move(metrics)});
  }
  const auto rank = [](const Section& section) {
    return section.kind == "denoise" ? 0 : section.kind == "sample" ? 1 : 2;
  };
  std::sort(sections.begin(), sections.end(), [&](const Section& a, const Section& b) {
    return std::pair(rank(a), a.folder.filename().string()) <
           std::pair(rank(b), b.folder.filename().string());
  });
  return sections;
}

std::string run_name(const fs::path& run, const Json& facts) {
  const std::string name = text_of(facts, "name");
  if (!name.empty()) return name;
  fs::path folder = fs::absolute(run).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();  // "runs/digits/"
  return folder.filename().string();
}

// One sentence from the facts that are there.
std::string summary_text(const Json& facts) {
  const auto has = [&](const char* key) { return facts.contains(key) && !facts[key].is_null(); };
  const auto text = [&](const char* key) { return fact_text(key, facts[key]); };
  std::string summary = "Scores of a data distribution, learned by denoising";
  if (has("data")) summary += " from " + text("data");
  if (has("dim")) summary += fmt::format(" ({} dimensions)", text("dim"));
  if (has("sigma")) summary += " at noise level sigma = " + text("sigma");
  summary += ".";
  std::string model;
  if (has("network")) model += "Network: " + text("network");
  if (has("num_parameters")) {
    model += fmt::format("{}{} parameters", model.empty() ? "" : ", ", text("num_parameters"));
  }
  const char* structure = has("structure") ? "structure" : "s2";
  if (has(structure)) {
    model += fmt::format("{}second-order score {}", model.empty() ? "" : ", ", text(structure));
  }
  if (!model.empty()) summary += " " + model + ".";
  const char* steps = has("steps") ? "steps" : "step";
  if (has(steps)) {
    summary += fmt::format(" Trained for {} steps", text(steps));
    if (has("train_seconds")) summary += fmt::format(" in {} s", text("train_seconds"));
    summary += ".";
  }
  return summary;
}

void add_cards(HtmlPage& page, const Json& metrics) {
  std::vector<Card> cards;
  for (const char* key : {"psnr_noisy", "psnr_denoised", "predicted_variance_over_mse",
                          "residual_energy_top_k", "residual_energy_pca_k"}) {
    const auto found = metrics.find(key);
    if (found != metrics.end() && found->is_number()) {
      cards.push_back({fact_text(key, *found), fact_name(key)});
    }
  }
  if (!cards.empty()) page.cards(cards);
}

// A list of objects as a table with the keys of all of them as columns.
void add_table(HtmlPage& page, const std::string& key, const Json& list) {
  std::vector<std::string> keys, header;
  for (const Json& object : list) {
    for (const auto& [name, value] : object.items()) {
      if (std::find(keys.begin(), keys.end(), name) == keys.end()) keys.push_back(name);
    }
  }
  for (const std::string& name : keys) header.push_back(fact_name(name));
  std::vector<std::vector<std::string>> rows;
  for (const Json& object : list) {
    std::vector<std::string> row;
    for (const std::string& name : keys) {
      row.push_back(object.contains(name) ? fact_text(name, object[name]) : "");
    }
    rows.push_back(std::move(row));
  }
  page.heading(3, fact_name(key));
  page.table(header, rows);
}

void add_picture(HtmlPage& page, const fs::path& folder, const Json& picture) {
  const std::string name = picture.is_object() ? text_of(picture, "file") : "";
  const fs::path file(name);
  const auto missing = [&](const char* why) {
    page.note(fmt::format("The picture \"{}\" is left out: {}.", name, why));
  };
  if (name.empty()) return missing("its entry names no file");
  if (file.is_absolute() || std::find(file.begin(), file.end(), "..") != file.end()) {
    return missing("pictures must lie in the folder of their section");
  }
  if (!fs::is_regular_file(folder / file)) return missing("the file is missing");
  std::string bytes;
  try {
    bytes = io::read_text(folder / file);
  } catch (const std::runtime_error&) {
    return missing("the file cannot be read");
  }
  const bool svg = bytes.starts_with("<?xml") && bytes.find("<svg") != std::string::npos;
  if (!svg && !bytes.starts_with("\x89PNG\r\n\x1a\n")) {
    return missing("it is neither a PNG nor an SVG file");
  }
  const std::string caption = text_of(picture, "caption");
  page.figure(bytes, caption.empty() ? name : caption);
}

void add_section(HtmlPage& page, const Section& section) {
  const std::string title = text_of(section.metrics, "title");
  page.heading(2, title.empty() ? section.folder.filename().string() : title);
  const std::string command = text_of(section.metrics, "command");
  if (!command.empty()) page.code_block(command);
  const auto rows = fact_rows(section.metrics, {"kind", "title", "command", "pictures"});
  if (!rows.empty()) page.key_values(rows);
  for (const auto& [key, value] : section.metrics.items()) {
    const bool table =
        key != "pictures" && value.is_array() && !value.empty() &&
        std::all_of(value.begin(), value.end(), [](const Json& row) { return row.is_object(); });
    if (table) add_table(page, key, value);
  }
  const auto pictures = section.metrics.find("pictures");
  if (pictures == section.metrics.end()) return;
  if (!pictures->is_array()) {
    base::fail_runtime(kWhere, "\"pictures\" of {} must be a list; got {}",
                       (section.folder / "metrics.json").string(), pictures->type_name());
  }
  for (const Json& picture : *pictures) add_picture(page, section.folder, picture);
}

}  // namespace

void build_report(const fs::path& run) {
  if (!fs::is_regular_file(run / "config.toml")) {
    base::fail_runtime(kWhere, "{} must be the folder of a run; it has no config.toml",
                       run.string());
  }
  const std::string config = io::read_text(run / "config.toml");
  const bool has_facts = fs::exists(run / "run.json");
  const Json facts = has_facts ? read_object(run / "run.json") : Json::object();
  const bool has_log = fs::exists(run / "metrics.jsonl");
  const MetricsLog log = has_log ? read_metrics_log(run / "metrics.jsonl") : MetricsLog{};
  const std::vector<Section> sections = read_sections(run);

  const std::string name = run_name(run, facts);
  HtmlPage page(name + " - scorejet report");
  page.heading(1, name);
  page.paragraph(summary_text(facts));
  const auto denoise = std::find_if(sections.begin(), sections.end(), [](const Section& section) {
    return section.kind == "denoise";
  });
  if (denoise != sections.end()) add_cards(page, denoise->metrics);

  for (const Section& section : sections) add_section(page, section);

  page.heading(2, "Training");
  if (has_facts) {
    page.key_values(fact_rows(facts));
  } else {
    page.note("run.json is missing: the training has not finished, or was cut short.");
  }
  add_learning_curves(page, log);

  page.heading(2, "Configuration");
  page.code_block(config);
  io::write_file(run / "report.html", page.str());
}

}  // namespace scorejet::report
