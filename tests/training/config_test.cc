// The configuration: round trip, and errors that name key, line and the nearest valid key; the
// noise levels that a range of them becomes.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "scorejet/dataset.h"
#include "scorejet/run.h"
#include "scorejet/run_config.h"
#include "src/io/atomic_file.h"
#include "src/training/draw.h"
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
  EXPECT_FALSE(back.model.network.share_trunk);
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
        "loss.variance_power=1", "loss.form=centered", "noise.sigma_max=0.1", "loss.leading=-1"}) {
    RunConfig wrong;
    const auto use = [&] {
      apply_setting(wrong, bad);
      validate(wrong);
    };
    EXPECT_THROW(use(), std::invalid_argument) << bad;
  }
  for (const char* also : {"train.batch=4", "model.s2=diagonal"}) {
    RunConfig wrong;
    apply_setting(wrong, "loss.leading=0.2");
    validate(wrong);
    apply_setting(wrong, also);
    EXPECT_THROW(validate(wrong), std::invalid_argument) << also;
  }
  apply_setting(config, "model.s3=diagonal");
  validate(config);
  apply_setting(config, "model.s2=none");
  EXPECT_NE(error_of([&] { validate(config); }).find("model.s3 must be none"), std::string::npos);
}

// ln σ goes along its range as u/2 + sin²(πu/2)/2 does, u even: slowest at the ends.
TEST(DrawBatch, CoversARangeOfSigmaEvenlyWithDenserEnds) {
  RunConfig config;
  config.noise.sigma = 0.1;
  config.noise.sigma_max = 10;
  data::Dataset train;
  train.samples = at::zeros({4, 3});
  at::Tensor shares = at::empty({200, 8}, at::kDouble);
  for (int64_t step = 0; step < 200; ++step) {
    const NoisyBatch batch = draw_batch(config, train, step, 8, "train");
    EXPECT_TRUE(batch.sigma.equal(draw_batch(config, train, step, 8, "train").sigma));
    shares[step] = (batch.sigma.to(at::kDouble) / 0.1).log() / std::log(100.0);
  }
  const auto share = [](double u) { return u / 2 + std::pow(std::sin(M_PI / 2 * u), 2) / 2; };
  const at::Tensor sorted = std::get<0>(shares.sort(1));
  for (int64_t i = 0; i < 8; ++i) {  // one in each eighth of u, which has its own range of shares
    const at::Tensor column = sorted.select(1, i);
    const double low = share(static_cast<double>(i) / 8);
    const double high = share(static_cast<double>(i + 1) / 8);
    EXPECT_GE(column.min().item<double>(), low - 1e-6);
    EXPECT_LE(column.max().item<double>(), high + 1e-6);
    // The mean of 200 in a range of width w has a standard deviation of w/49.
    EXPECT_NEAR(column.mean().item<double>(), (low + high) / 2, (high - low) / 4);
  }
  EXPECT_GT((shares.select(1, 0) > shares.select(1, 1)).sum().item<int64_t>(), 60) << "shuffled";
}

}  // namespace
}  // namespace scorejet::training
