// What the mixing experiments count and choose, on labels and rows made by hand; their score
// models.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "reproduce/mixing/mixing.h"
#include "reproduce/mixing/mixing_measures.h"

namespace scorejet::reproduce {
namespace {

using Json = nlohmann::ordered_json;

struct Counted {
  int64_t count, first;
  bool operator==(const Counted&) const = default;
};
void PrintTo(const Counted& c, std::ostream* out) { *out << c.count << " from " << c.first; }

Counted count_one(const std::vector<int64_t>& labels, const std::vector<double>& confidence = {}) {
  const at::Tensor label = at::tensor(labels, at::kLong).unsqueeze(0);
  const at::Tensor sure = confidence.empty() ? at::ones({1, label.size(1)}, at::kDouble)
                                             : at::tensor(confidence, at::kDouble).unsqueeze(0);
  const ClassChanges changes = count_changes(label, sure);
  return {changes.count[0].item<int64_t>(), changes.first[0].item<int64_t>()};
}

TEST(CountChanges, IgnoresFlicker) {
  EXPECT_EQ(count_one({3, 3, 3, 3}), (Counted{0, -1}));
  EXPECT_EQ(count_one({3, 3, 5, 3, 3}), (Counted{0, -1}));     // one judged position
  EXPECT_EQ(count_one({3, 3, 5, 5, 3, 3}), (Counted{2, 2}));   // there and back
  EXPECT_EQ(count_one({3, 3, 5, 7, 7, 7}), (Counted{1, 3}));   // through 5, never confirmed
  EXPECT_EQ(count_one({3, 5, 3, 5, 5, 5}), (Counted{0, -1}));  // the first that is confirmed
  EXPECT_EQ(count_one({3, 3, 5, 5}, {1, 1, 1, 0.4}), (Counted{0, -1}));
  EXPECT_EQ(count_one({3, 3, 5, 5, 5}, {1, 1, 0.4, 1, 1}), (Counted{1, 3}));
}

TEST(CountChanges, CountsEachChainByItself) {
  const at::Tensor labels = at::tensor({1, 1, 2, 2, 0, 0, 0, 0}, at::kLong).view({2, 4});
  const ClassChanges changes = count_changes(labels, at::ones({2, 4}));
  EXPECT_TRUE(changes.count.equal(at::tensor({1, 0}, at::kLong)));
  EXPECT_TRUE(changes.first.equal(at::tensor({2, -1}, at::kLong)));
  EXPECT_THROW(count_changes(labels, at::ones({2, 3})), std::invalid_argument);
}

Json row_of(const char* kernel, double rate, double confidence, double norm, double stopped = 0,
            double entropy = 2.2) {
  return {{"kernel", kernel},   {"changes_per_1000", rate}, {"confidence", confidence},
          {"score_norm", norm}, {"class_entropy", entropy}, {"stopped", stopped}};
}

TEST(BestRow, IsTheFastestWithoutLowerQuality) {
  const Json reference{{"confidence", 0.9}, {"score_norm", 0.8}};
  Rows rows{row_of("ozaki", 1, 0.95, 0.8),     row_of("ozaki", 2, 0.885, 0.835),
            row_of("ozaki", 3, 0.881, 0.85),   row_of("ozaki", 4, 0.87, 0.8),
            row_of("ozaki", 5, 0.9, 0.8, 0.1), row_of("ozaki", 4.5, 0.87, 0.8, 0, 2.1),
            row_of("langevin", 9, 0.9, 0.75)};
  rows.push_back(row_of("ozaki", 6, 0.9, 0));
  rows.back()["score_norm"] = nullptr;  // it was not finite
  const Json stationary{{"confidence", 0.88}, {"score_norm", 0.82}, {"class_entropy", 2.25}};
  for (Json& row : rows) judge_quality(row, reference, stationary);
  EXPECT_EQ((*best_row(rows, "ozaki", "strictly_good"))["changes_per_1000"], 2);
  EXPECT_FALSE(rows.back()["strictly_good"].get<bool>());
  rows.pop_back();
  EXPECT_EQ((*best_row(rows, "ozaki", "good"))["changes_per_1000"], 3);
  EXPECT_EQ((*best_row(rows, "langevin", "good"))["changes_per_1000"], 9);
  EXPECT_EQ(best_row(rows, "langevin", "strictly_good"), nullptr);  // too smooth
  EXPECT_EQ((*best_row(rows, "ozaki", "faithful"))["changes_per_1000"], 4);
}

TEST(ChooseSigma, IsTheLargestThatTheJudgeCanRead) {
  const auto survey = [](const std::vector<double>& accuracies) {
    Rows rows;
    for (const double value : accuracies) {
      rows.push_back({{"clean_accuracy", 0.8}, {"denoised_accuracy", value}});
    }
    return rows;
  };
  EXPECT_EQ(choose_sigma(survey({0.7, 0.6, 0.5})), 1U);
  EXPECT_EQ(choose_sigma(survey({0.7, 0.6, 0.57})), 2U);
  EXPECT_EQ(choose_sigma(survey({0.4, 0.3})), 0U);
}

// What the command trains by itself is what `scorejet train configs/mixing-....toml` trains.
TEST(MixingPlan, TrainsTheModelsOfTheConfigurations) {
  const std::string folder = std::string(std::getenv("SCOREJET_SOURCE_DIR")) + "/configs/";
  EXPECT_EQ(training::to_toml(mnist_plan(false).model),
            training::to_toml(training::read_config(folder + "mixing-mnist.toml")));
  EXPECT_EQ(training::to_toml(cifar10_plan(false).model),
            training::to_toml(training::read_config(folder + "mixing-cifar10.toml")));
  for (const bool fast : {false, true}) {
    training::validate(mnist_plan(fast).model);
    training::validate(cifar10_plan(fast).model);
  }
}

}  // namespace
}  // namespace scorejet::reproduce
