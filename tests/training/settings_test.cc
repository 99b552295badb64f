// A setting is forgotten in no place: walked from the one list, every setting changes the file, the
// page of settings, the object read back and, of the model, the checkpoint's description; a bad
// value of it is refused by its key; and what older checkpoints lack is what it meant to them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "scorejet/run_config.h"
#include "src/io/atomic_file.h"
#include "src/training/checkpoint.h"
#include "tests/scratch.h"

namespace scorejet::training {
namespace {

using base::Setting;
using testing::error_of;
using testing::Scratch;

Setting setting_of(base::Settings settings, const std::string& key) {
  const auto found = std::find_if(settings.begin(), settings.end(),
                                  [&](const Setting& setting) { return setting.key == key; });
  if (found == settings.end()) throw std::out_of_range(key);
  return *found;
}

// Another good value of the same setting.
std::string other_value(const Setting& setting) {
  if (const auto* choice = std::get_if<base::Choice>(&setting.value)) {
    return choice->get() == choice->names().back() ? choice->names().front()
                                                   : choice->names().back();
  }
  if (const auto* flag = std::get_if<bool*>(&setting.value)) return **flag ? "false" : "true";
  if (const auto* integer = std::get_if<int64_t*>(&setting.value)) {
    return std::to_string(**integer + 1);
  }
  if (const auto* number = std::get_if<double*>(&setting.value)) {
    return fmt::format("{}", 0.5 * **number + 0.125);
  }
  return setting.text() + "other";
}

// A value that the setting must refuse, as TOML; "" for a text that may be anything.
std::string bad_value(const Setting& setting) {
  if (std::holds_alternative<base::Choice>(setting.value)) return "\"nonsense\"";
  if (std::holds_alternative<bool*>(setting.value)) return "3";
  if (std::holds_alternative<int64_t*>(setting.value)) return "-1";
  return std::holds_alternative<double*>(setting.value) ? "nan" : "";
}

std::vector<std::string> all_keys() {
  RunConfig config;
  std::vector<std::string> keys;
  for (const Setting& setting : config.settings()) keys.push_back(setting.key);
  return keys;
}

TEST(Settings, HaveKeysOfTheirOwnAndAMeaning) {
  RunConfig config;
  std::set<std::string> seen;
  for (const Setting& setting : config.settings()) {
    EXPECT_TRUE(seen.insert(setting.key).second) << setting.key;
    EXPECT_EQ(std::count(setting.key.begin(), setting.key.end(), '.'), 1) << setting.key;
    EXPECT_FALSE(setting.help.empty()) << setting.key;
    EXPECT_EQ(setting.help.find_first_of("|\n"), std::string::npos) << setting.key;
    EXPECT_EQ(error_of([&] { setting.check("a test"); }), "") << "the default";
  }
  validate(config);
}

TEST(Settings, AChangeReachesTheFileAndTheObjectReadBack) {
  const Scratch scratch;
  const std::string plain = to_toml(RunConfig());
  for (const std::string& key : all_keys()) {
    RunConfig config;
    const std::string value = other_value(setting_of(config.settings(), key));
    apply_setting(config, key + "=" + value);
    ASSERT_EQ(setting_of(config.settings(), key).text(), value) << key;
    const std::string text = to_toml(config);
    EXPECT_NE(text, plain) << key;
    io::write_file(scratch / "c.toml", text);
    RunConfig back = read_config(scratch / "c.toml");
    EXPECT_EQ(to_toml(back), text) << key;
    EXPECT_EQ(setting_of(back.settings(), key).text(), value) << key;
    for (const std::string& other : all_keys()) {
      if (other == key) continue;
      RunConfig untouched;
      EXPECT_EQ(setting_of(back.settings(), other).text(),
                setting_of(untouched.settings(), other).text())
          << key << " changed " << other;
    }
  }
}

TEST(Settings, ABadValueIsRefusedByItsKey) {
  for (const std::string& key : all_keys()) {
    RunConfig config;
    const std::string bad = bad_value(setting_of(config.settings(), key));
    if (bad.empty()) continue;
    const std::string error = error_of([&] {
      apply_setting(config, key + "=" + bad);
      validate(config);
    });
    EXPECT_NE(error.find(key + " must be "), std::string::npos) << key << ": " << error;
  }
}

TEST(Settings, TheirPageIsWhatTheyAre) {
  const std::string source = std::getenv("SCOREJET_SOURCE_DIR");
  EXPECT_EQ(io::read_text(source + "/docs/reference/settings.md"), settings_page())
      << "write it anew: scorejet info --settings > docs/reference/settings.md";
  for (const std::string& key : all_keys()) {
    EXPECT_NE(settings_page().find("| `" + key + "` |"), std::string::npos) << key;
  }
}

// A model whose checkpoint holds every setting: one with a third order.
models::ScoreModelOptions whole_model() {
  models::ScoreModelOptions options;
  options.network.kind = "mlp";  // "auto" would stand for the one that the test changes it to
  options.network.dim = 16;
  options.network.image_shape = {1, 4, 4};
  options.network.s3 = nets::Structure::kDiagonal;
  return options;
}

std::string name_of(const Setting& setting) {
  return setting.key.substr(setting.key.find('.') + 1);
}

TEST(Settings, ACheckpointHoldsEverySettingOfTheModel) {
  models::ScoreModelOptions defaults = whole_model();
  for (const Setting& setting : defaults.settings()) {
    models::ScoreModelOptions changed = whole_model();
    Setting other = setting_of(changed.settings(), setting.key);
    ASSERT_TRUE(other.set(other_value(other))) << setting.key;
    const auto description = describe_model(changed);
    EXPECT_NE(description, describe_model(defaults)) << setting.key;
    models::ScoreModelOptions back = parse_model(description, "here");
    EXPECT_EQ(setting_of(back.settings(), setting.key).text(), other.text()) << setting.key;
    EXPECT_EQ(describe_model(back), description) << setting.key;
    auto malformed = describe_model(defaults);
    malformed.at(name_of(setting)) = "nonsense";
    EXPECT_NE(error_of([&] {
                parse_model(malformed, "here");
              }).find("metadata " + name_of(setting) + " must be "),
              std::string::npos)
        << setting.key;
  }
}

TEST(Settings, WhatACheckpointLacksIsWhatItMeantOrRefused) {
  // What came after the first checkpoints, and what those meant. A new setting of the model is to
  // be entered here, whatever its default is to be later.
  const std::map<std::string, std::string> later{{"scale", "noise"}, {"s3", "none"}};
  models::ScoreModelOptions options = whole_model();
  for (const Setting& setting : options.settings()) {
    auto description = describe_model(options);
    ASSERT_EQ(description.erase(name_of(setting)), 1u) << setting.key;
    if (!later.count(name_of(setting))) {
      EXPECT_NE(error_of([&] {
                  parse_model(description, "here");
                }).find("must hold metadata \"" + name_of(setting) + "\""),
                std::string::npos)
          << setting.key;
      continue;
    }
    models::ScoreModelOptions back = parse_model(description, "here");
    EXPECT_EQ(setting_of(back.settings(), setting.key).text(), later.at(name_of(setting)));
  }
  options.network.s3 = nets::Structure::kNone;  // then nothing is said of its rank either
  const auto description = describe_model(options);
  EXPECT_FALSE(description.count("s3") || description.count("s3_rank"));
  EXPECT_EQ(parse_model(description, "here").network.s3, nets::Structure::kNone);
  for (const char* fact : {"dim", "image_shape"}) {
    auto lacking = description;
    lacking.erase(fact);
    EXPECT_NE(error_of([&] { parse_model(lacking, "here"); }).find(fact), std::string::npos);
  }
}

// The metadata of a checkpoint as it was written before there was a list of settings.
TEST(Settings, AnOldDescriptionIsTheSameModelAndWrittenAlike) {
  const std::map<std::string, std::string> old{
      {"network", "unet"}, {"dim", "784"},    {"image_shape", "1x28x28"},   {"s2", "low_rank"},
      {"rank", "32"},      {"scale", "data"}, {"parameterisation", "free"}, {"share_trunk", "0"},
      {"width", "256"},    {"depth", "2"},    {"channels", "48"},           {"blocks", "3"},
      {"levels", "1"},     {"patch", "4"},    {"s3", "low_rank"},           {"s3_rank", "7"},
      {"s1", "clean 5d41"}};
  const models::ScoreModelOptions o = parse_model(old, "here");
  const auto now = describe_model(o);  // and what came since
  for (const auto& [key, value] : old) {
    ASSERT_TRUE(now.count(key)) << key;
    EXPECT_EQ(now.at(key), value) << key;
  }
  EXPECT_EQ(o.network.kind, "unet");
  EXPECT_EQ(o.network.image_shape, (std::vector<int64_t>{1, 28, 28}));
  EXPECT_EQ(o.network.rank, 32);
  EXPECT_FALSE(o.network.share_trunk);
  EXPECT_EQ(o.network.unet.channels, 48);
  EXPECT_EQ(o.network.unet.blocks, 3);
  EXPECT_EQ(o.network.unet.levels, 1);
  EXPECT_EQ(o.network.unet.patch, 4);
  EXPECT_EQ(o.network.s3_rank, 7);
  EXPECT_EQ(o.scale, models::OutputScale::kData);
  EXPECT_EQ(o.parameterisation, models::Parameterisation::kFree);
  EXPECT_EQ(o.given_first, "clean 5d41");
}

}  // namespace
}  // namespace scorejet::training
