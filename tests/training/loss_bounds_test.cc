// The guard of training: a loss that leaves its bound ends it in one line, ordinary ones never do;
// and defaults that the data contradict give way with a notice, where explicit ones are refused.
#include "src/training/loss_bounds.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <nlohmann/json.hpp>

#include "scorejet/run.h"
#include "src/io/atomic_file.h"
#include "src/io/npy.h"
#include "src/io/tensor_bridge.h"
#include "src/training/fit.h"
#include "tests/scratch.h"

namespace scorejet::training {
namespace {

using testing::error_of;
using testing::Scratch;

RunConfig columns_config(const Scratch& scratch, at::IntArrayRef shape) {
  torch::manual_seed(3);
  io::write_npy(scratch / "rows.npy", io::from_tensor(at::randn(shape)));
  RunConfig config;
  config.data.name = (scratch / "rows.npy").string();
  config.model.network.mlp.width = 32;
  config.train.steps = 40;
  return config;
}

TEST(LossBounds, StopsAtTheLastGoodCheckpointWithOneLine) {
  const Scratch scratch;
  RunConfig config = columns_config(scratch, {200, 12});
  config.noise.sigma = 1;
  config.train.steps = 200;
  config.train.learning_rate = 1e-3;
  config.train.checkpoint_every = 20;
  train(config, {.out = scratch / "good", .device = "cpu"});
  config.train.learning_rate = 100;
  config.train.warmup = 30;
  config.loss.clip_norm = 1e30;
  const std::string error =
      error_of([&] { train(config, {.out = scratch / "run", .device = "cpu"}); });
  EXPECT_NE(error.find("the loss of s"), std::string::npos) << error;
  EXPECT_NE(error.find("must stay within"), std::string::npos) << error;
  EXPECT_NE(error.find("at step "), std::string::npos) << error;
  EXPECT_NE(error.find("last good checkpoint: "), std::string::npos) << error;
  EXPECT_NE(error.find("lower train.learning_rate"), std::string::npos) << error;
  EXPECT_EQ(error.find('\n'), std::string::npos);
}

TEST(LossBounds, StopAFitInMemory) {
  models::ScoreModelOptions options;
  options.network.dim = 2;
  options.network.mlp.width = 16;
  options.network.rank = 1;
  const auto fit_at = [&](double rate) {
    torch::manual_seed(5);
    models::ScoreModel model(options, at::zeros({2}), at::ones({2}));
    FitOptions fitting;
    fitting.sigma = 1;
    fitting.steps = 200;
    fitting.batch = 16;
    fitting.learning_rate = rate;
    return error_of([&] {
      fit(
          model,
          [](int64_t batch, at::Generator generator) {
            return at::randn({batch, 2}, generator);
          },
          fitting);
    });
  };
  EXPECT_EQ(fit_at(4e-3), "");
  const std::string error = fit_at(1);
  EXPECT_NE(error.find("[training::fit] the loss of s"), std::string::npos) << error;
  EXPECT_NE(error.find("must stay within"), std::string::npos) << error;
  EXPECT_NE(error.find("at step "), std::string::npos) << error;
}

TEST(LossBounds, NameTheOrderAndWhatToChange) {
  torch::manual_seed(4);
  models::ScoreModelOptions options;
  options.network.dim = 4;
  options.network.mlp.width = 8;
  options.network.rank = 2;
  const models::ScoreModel model(options, at::zeros({4}), at::ones({4}));
  const LossBounds bounds = loss_bounds(model, 0.1, 0, {.first = 1, .second = 0.1});
  EXPECT_FALSE(find_violation(bounds, {.first = -1.2, .second = -3}, model, {}));
  const auto found = find_violation(bounds, {.first = -1.2, .second = 1e6}, model, {});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->order, 2);
  EXPECT_NE(found->advice.find("loss.variance_reduction = false"), std::string::npos);
  EXPECT_EQ(find_violation(bounds, {.first = 1e6, .second = 1e6}, model, {})->order, 1);
}

TEST(Defaults, GiveWayToTheDataWithANotice) {
  const Scratch scratch;
  RunConfig config = columns_config(scratch, {50, 2});
  config.noise.sigma = 2;
  train(config, {.out = scratch / "run", .device = "cpu"});
  const auto summary = nlohmann::json::parse(io::read_text(scratch / "run/run.json"));
  EXPECT_EQ(summary.at("rank"), 2);
  ASSERT_EQ(summary.at("notices").size(), 3U) << summary;
  const std::string toml = io::read_text(scratch / "run/config.toml");
  EXPECT_NE(toml.find("validation = 5 "), std::string::npos) << toml;
  EXPECT_NE(toml.find("variance_reduction = false"), std::string::npos) << toml;
  apply_setting(config, "model.rank=20");  // said so: no default any more
  EXPECT_NE(error_of([&] {
              train(config, {.out = scratch / "other", .device = "cpu"});
            }).find("model.rank must be at most D = 2; got 20"),
            std::string::npos);
  apply_setting(config, "data.validation=1000");
  EXPECT_NE(error_of([&] {
              train(config, {.out = scratch / "third", .device = "cpu"});
            }).find("data.validation = 1000"),
            std::string::npos);
}

TEST(Defaults, SoFewRowsThatTheyAreLearnedByHeartAreSaid) {
  const auto notices_of = [](int64_t rows) {
    const Scratch scratch;
    RunConfig config = columns_config(scratch, {rows, 2});
    config.noise.sigma = 0.1;
    config.train.steps = 1;
    train(config, {.out = scratch / "run", .device = "cpu"});
    return nlohmann::json::parse(io::read_text(scratch / "run/run.json")).at("notices").dump();
  };
  EXPECT_NE(notices_of(3).find("learned by heart"), std::string::npos);
  EXPECT_EQ(notices_of(60).find("learned by heart"), std::string::npos);
}

}  // namespace
}  // namespace scorejet::training
