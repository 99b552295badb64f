// The list of known keys and the rules by which numbers are written.
#include "src/report/facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>

namespace scorejet::report {
namespace {

using Json = nlohmann::ordered_json;

enum class Unit { kPlain, kPercent };

struct KnownFact {
  const char* key;
  const char* name;
  Unit unit = Unit::kPlain;
};

constexpr KnownFact kKnownFacts[] = {
    {"name", "Name"},
    {"data", "Data"},
    {"dim", "Dimensions"},
    {"image_shape", "Image shape"},
    {"sigma", "Noise level sigma"},
    {"sigma_max", "Largest noise level sigma"},
    {"network", "Network"},
    {"num_parameters", "Parameters"},
    {"s1", "First-order score, given"},
    {"s1_file", "What it predicts, MD5 of its file"},
    {"s2", "Structure of the second-order score"},
    {"s3", "Structure of the third-order score"},
    {"s3_rank", "Rank of the third-order score"},
    {"structure", "Structure of the second-order score"},
    {"rank", "Rank"},
    {"parameterisation", "Parameterisation"},
    {"form", "Form of the second-order loss"},
    {"variance_reduction", "Variance reduction"},
    {"step", "Training steps"},
    {"steps", "Training steps"},
    {"train_seconds", "Training time [s]"},
    {"best_validation", "Best validation loss"},
    {"best_validation_s1", "Best validation loss, first order"},
    {"best_validation_s2", "Best validation loss, second order"},
    {"best_validation_s3", "Best validation loss, third order"},
    {"best_validation_step", "Step of the best validation loss"},
    {"denoiser", "Denoiser"},
    {"predicts", "What it predicts"},
    {"covariance", "Covariance"},
    {"negative_part", "Negative part of the covariance", Unit::kPercent},
    {"psnr_noisy", "PSNR of the noisy input [dB]"},
    {"psnr_denoised", "PSNR denoised [dB]"},
    {"predicted_variance_over_mse", "Predicted variance / mean squared error"},
    {"predicted_variance_over_mse_raw", "Predicted variance / mean squared error, uncorrected"},
    {"temperature", "Temperature of the covariance"},
    {"level", "Level of the intervals"},
    {"coverage", "Clean coordinates in their intervals", Unit::kPercent},
    {"coverage_raw", "Clean coordinates in their intervals, uncorrected", Unit::kPercent},
    {"k", "Number of components k"},
    {"residual_energy_top_k", "Residual energy in the top k posterior components", Unit::kPercent},
    {"residual_energy_pca_k", "Residual energy in k components of a PCA of training residuals",
     Unit::kPercent},
    {"num_negative_variances", "Negative predicted variances"},
    {"mse_noisy", "Mean squared error of the noisy input"},
    {"mse_denoised", "Mean squared error, denoised"},
    {"num_samples", "Samples"},
    {"num_steps", "Steps of each chain"},
    {"num_evaluations", "Score evaluations"},
    {"num_diverged", "Diverged chains"},
    {"num_bounded_steps", "Chain-steps with bounded growth"},
    {"max_krylov_steps", "Largest Krylov space"},
    {"loss_s1", "Training loss, first order"},
    {"loss_s2", "Training loss, second order"},
    {"loss_s3", "Training loss, third order"},
    {"validation_s1", "Validation loss, first order"},
    {"validation_s2", "Validation loss, second order"},
    {"validation_s3", "Validation loss, third order"},
    {"learning_rate", "Learning rate"},
    {"grad_norm_s1", "Gradient norm, first order"},
    {"grad_norm_s2", "Gradient norm, second order"},
    {"grad_norm_s3", "Gradient norm, third order"},
    {"seconds", "Time [s]"},
};

const KnownFact* find_fact(const std::string& key) {
  const auto* found = std::find_if(std::begin(kKnownFacts), std::end(kKnownFacts),
                                   [&](const KnownFact& fact) { return key == fact.key; });
  return found == std::end(kKnownFacts) ? nullptr : found;
}

// Counts are read in groups of three; identifiers such as a seed are not counts.
std::string grouped(const std::string& digits) {
  std::string result;
  const size_t sign = digits.starts_with('-') ? 1 : 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > sign && (digits.size() - i) % 3 == 0) result += ',';
    result += digits[i];
  }
  return result;
}

bool is_count(const std::string& key) {
  return key.starts_with("num_") || key == "step" || key == "steps" || key.ends_with("_step") ||
         key.ends_with("_steps") || key == "dim";
}

bool is_table(const Json& value) {
  return value.is_array() && !value.empty() &&
         std::all_of(value.begin(), value.end(), [](const Json& row) { return row.is_object(); });
}

}  // namespace

std::string format_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "infinity" : "-infinity";
  if (value == 0) return "0";
  const double size = std::abs(value);
  if (size < 1e-3 || size >= 1e7) return fmt::format("{:.4g}", value);
  if (size >= 9999.5) return fmt::format("{:.0f}", value);
  return fmt::format("{:.4g}", value);
}

std::string fact_name(const std::string& key) {
  if (const KnownFact* fact = find_fact(key)) return fact->name;
  std::string name = key;
  std::string unit;
  constexpr std::string_view kSeconds = "_seconds";
  if (name.size() > kSeconds.size() && name.ends_with(kSeconds)) {
    name.resize(name.size() - kSeconds.size());
    unit = " time [s]";
  }
  std::replace(name.begin(), name.end(), '_', ' ');
  if (!name.empty()) name[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
  if (name.starts_with("Psnr")) name.replace(0, 4, "PSNR");
  return name + unit;
}

std::string fact_text(const std::string& key, const Json& value) {
  const KnownFact* fact = find_fact(key);
  if (value.is_null()) return "n/a";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number() && fact && fact->unit == Unit::kPercent) {
    return format_number(100 * value.get<double>()) + " %";
  }
  if (value.is_number_integer()) return is_count(key) ? grouped(value.dump()) : value.dump();
  if (value.is_number()) return format_number(value.get<double>());
  if (value.is_array() && value.size() <= 24 && !is_table(value)) {
    std::string joined;
    for (const Json& element : value) {
      joined += (joined.empty() ? "" : ", ") + fact_text(key, element);
    }
    return joined;
  }
  return fmt::format("{} entries", value.size());
}

std::vector<std::pair<std::string, std::string>> fact_rows(
    const Json& facts, const std::vector<std::string>& left_out) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const auto& [key, value] : facts.items()) {
    if (std::find(left_out.begin(), left_out.end(), key) != left_out.end() || is_table(value)) {
      continue;
    }
    if (value.is_object()) {
      for (const auto& [inner_key, inner] : value.items()) {
        rows.emplace_back(fact_name(key) + ": " + fact_name(inner_key),
                          fact_text(inner_key, inner));
      }
    } else {
      rows.emplace_back(fact_name(key), fact_text(key, value));
    }
  }
  return rows;
}

}  // namespace scorejet::report
