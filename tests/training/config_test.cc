// The configuration: round trip, and errors that name key, line and the nearest valid key.
#include <gtest/gtest.h>

#include "scorejet/io/atomic_file.h"
#include "scorejet/training/run_config.h"
#include "tests/scratch.h"

namespace scorejet::training {
namespace {

using testing::error_of;
using testing::Scratch;

TEST(RunConfig, RoundTrip) {
  const Scratch scratch;
  RunConfig config;
  apply_setting(config, "train.batch=17");
  apply_setting(config, "data.name=some/file \"x\".npy");
  apply_setting(config, "train.learning_rate=3e-7");
  apply_setting(config, "noise.sigma=2");
  apply_setting(config, "model.share_trunk=false");
  io::write_file(scratch / "c.toml", to_toml(config));
  const RunConfig back = read_config(scratch / "c.toml");
  EXPECT_EQ(to_toml(back), to_toml(config));
  EXPECT_EQ(back.train.batch, 17);
  EXPECT_EQ(back.noise.sigma, 2.0);
  EXPECT_FALSE(back.model.share_trunk);
  validate(back);
}

TEST(RunConfig, ErrorsNameKeyLineAndNearest) {
  const Scratch scratch;
  const auto error = [&](const std::string& text) {
    io::write_file(scratch / "c.toml", text);
    return error_of([&] { read_config(scratch / "c.toml"); });
  };
  const std::string unknown = error("[train]\nbatch = 3\nlearning_rat = 1.0\n");
  EXPECT_NE(unknown.find("line 3"), std::string::npos) << unknown;
  EXPECT_NE(unknown.find("nearest valid key is train.learning_rate"), std::string::npos) << unknown;
  const std::string type = error("[train]\nbatch = \"many\"\n");
  EXPECT_NE(type.find("train.batch must be an integer"), std::string::npos) << type;
  EXPECT_NE(error("[train\n").find("c.toml line 1"), std::string::npos);
  RunConfig config;
  EXPECT_NE(error_of([&] { apply_setting(config, "train.bach=3"); }).find("train.batch"),
            std::string::npos);
  EXPECT_NE(error_of([&] { apply_setting(config, "nonsense"); }), "");
  for (const char* bad :
       {"noise.sigma=0", "noise.sigma=-1", "train.batch=0", "train.ema=1.0", "model.s2=dense",
        "model.s3=dense", "model.s3_rank=0", "loss.gamma3=0", "loss.variance_power=-1",
        "loss.variance_power=1", "loss.form=centered", "noise.sigma_max=0.1"}) {
    RunConfig wrong;
    apply_setting(wrong, bad);
    EXPECT_THROW(validate(wrong), std::invalid_argument) << bad;
  }
  apply_setting(config, "model.s3=diagonal");
  validate(config);
  apply_setting(config, "model.s2=none");
  EXPECT_NE(error_of([&] { validate(config); }).find("model.s3 must be none"), std::string::npos);
}

}  // namespace
}  // namespace scorejet::training
