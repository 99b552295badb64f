#include "reproduce/mixing/mixing_measures.h"

#include <ATen/ATen.h>

#include <cmath>

#include "src/base/check.h"

namespace scorejet::reproduce {

using Json = nlohmann::ordered_json;

ClassChanges count_changes(const at::Tensor& labels, const at::Tensor& confidence) {
  base::check_shape("reproduce::count_changes", "confidence", confidence, labels.sizes());
  const int64_t chains = labels.size(0), length = labels.size(1);
  ClassChanges changes;
  changes.count = at::zeros({chains}, at::kLong);
  changes.first = at::full({chains}, -1, at::kLong);
  const auto label = labels.accessor<int64_t, 2>();
  const at::Tensor sure_tensor = confidence > 0.5;
  const auto sure = sure_tensor.accessor<bool, 2>();
  auto count = changes.count.accessor<int64_t, 1>(), first = changes.first.accessor<int64_t, 1>();
  for (int64_t c = 0; c < chains; ++c) {
    int64_t held = -1;  // the class confirmed last
    for (int64_t j = 1; j < length; ++j) {
      const bool confirmed = label[c][j] == label[c][j - 1] && sure[c][j] && sure[c][j - 1];
      if (!confirmed || label[c][j] == held) continue;
      if (held >= 0 && count[c]++ == 0) first[c] = j - 1;
      held = label[c][j];
    }
  }
  return changes;
}

void judge_quality(Json& row, const Json& test_images, const Json& stationary) {
  const auto number = [](const Json& from, const char* key) {  // null where it was not finite
    return from.at(key).is_null() ? std::nan("") : from.at(key).get<double>();
  };
  const bool running = number(row, "stopped") == 0;
  const auto confident = [&](const Json& reference) {
    return running &&
           number(row, "confidence") >= number(reference, "confidence") - kConfidenceTolerance;
  };
  const auto noisy_enough = [&](const Json& reference) {
    const double ratio = number(row, "score_norm") / number(reference, "score_norm");
    return std::abs(ratio - 1) <= kScoreNormTolerance;
  };
  row["good"] = confident(test_images);
  row["strictly_good"] = confident(test_images) && noisy_enough(test_images);
  const bool spread_out =
      number(row, "class_entropy") >= number(stationary, "class_entropy") - kEntropyTolerance;
  row["faithful"] = confident(stationary) && noisy_enough(stationary) && spread_out;
}

const Json* best_row(const Rows& rows, const std::string& kernel, const std::string& verdict) {
  const Json* best = nullptr;
  for (const Json& row : rows) {
    if (row.at("kernel") != kernel || !row.at(verdict).get<bool>()) continue;
    if (!best ||
        row.at("changes_per_1000").get<double>() > best->at("changes_per_1000").get<double>()) {
      best = &row;
    }
  }
  return best;
}

size_t choose_sigma(const Rows& survey) {
  size_t chosen = 0;
  for (size_t i = 0; i < survey.size(); ++i) {
    const double clean = survey[i].at("clean_accuracy").get<double>();
    if (survey[i].at("denoised_accuracy").get<double>() >= kKeptAccuracy * clean) chosen = i;
  }
  return chosen;
}

}  // namespace scorejet::reproduce
