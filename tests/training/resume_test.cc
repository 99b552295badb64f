// Training: resumed equals never stopped, bit for bit; ten seeds of joint training do not diverge;
// a diverging run stops with an error; psd models have no negative variance.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "scorejet/posterior.h"
#include "scorejet/run.h"
#include "src/io/atomic_file.h"
#include "src/io/npy.h"
#include "src/io/safetensors.h"
#include "src/io/tensor_bridge.h"
#include "src/training/checkpoint.h"
#include "src/training/run_folder.h"
#include "tests/scratch.h"

namespace scorejet::training {
namespace {

using testing::error_of;
using testing::Scratch;

RunConfig image_config(const Scratch& scratch) {
  torch::manual_seed(9);
  // Blurred blobs: structured images, so that joint training has a residual to explain.
  const at::Tensor coarse = at::rand({300, 1, 3, 3}).gt(0.6).to(at::kFloat);
  io::write_npy(scratch / "x.npy", io::from_tensor(at::upsample_bilinear2d(coarse, {8, 8}, true)));
  RunConfig config;
  config.data.name = (scratch / "x.npy").string();
  config.data.validation = 40;
  config.model.network.unet.channels = 8;
  config.model.network.rank = 3;
  config.loss.variance_reduction = false;
  config.train.batch = 16;
  config.train.steps = 60;
  config.train.learning_rate = 2e-3;
  config.train.checkpoint_every = 20;
  config.train.validate_every = 30;
  return config;
}

TEST(Resume, EqualsNeverStopped) {
  const Scratch scratch;
  const RunConfig config = image_config(scratch);
  train(config, {.out = scratch / "whole", .device = "cpu"});
  // Stop after the first step that sees the flag, then go on, three times.
  bool stop = true;
  bool resume = false;
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(train(config, {.out = scratch / "parts",
                                .resume = resume,
                                .device = "cpu",
                                .listener = {.stop = [&] { return stop; }}})
                     .finished);
    resume = true;
  }
  EXPECT_NE(error_of([&] {
              train(config, {.out = scratch / "parts", .device = "cpu"});
            }).find("already holds a run"),
            std::string::npos);
  train(config, {.out = scratch / "parts", .resume = true, .device = "cpu"});
  const auto file = [&](const char* run) {
    return io::read_safetensors(scratch / run / "checkpoints" / "last.safetensors");
  };
  const io::SafeTensors whole = file("whole"), parts = file("parts");
  ASSERT_EQ(whole.tensors.size(), parts.tensors.size());
  for (const auto& [key, array] : whole.tensors) {
    EXPECT_EQ(array.bytes, parts.tensors.at(key).bytes) << key;
  }
  EXPECT_EQ(whole.metadata.at("step"), "60");
  EXPECT_EQ(whole.metadata.at("best_first"), parts.metadata.at("best_first"));
}

TEST(Train, TellsItsListenerHowFarItIs) {
  const Scratch scratch;
  RunConfig config = image_config(scratch);
  config.train.validate_every = 40;
  std::vector<base::ProgressEvent> events;
  bool stop = true;
  const base::Listener listener{
      .progress = [&](const base::ProgressEvent& event) { events.push_back(event); },
      .stop = [&] { return stop; }};
  const auto run = [&](bool resume) {
    events.clear();
    train(config,
          {.out = scratch / "run", .resume = resume, .device = "cpu", .listener = listener});
  };
  run(false);
  ASSERT_EQ(events.size(), 2u);  // at the start, and after the step that it was stopped at
  EXPECT_EQ(events[1].done, 1);
  stop = false;
  run(true);
  ASSERT_EQ(events.size(), 4u);  // at the start, and with every line of metrics
  std::vector<int64_t> milestones;
  for (const base::ProgressEvent& event : events) {
    EXPECT_EQ(event.task, "train");
    EXPECT_EQ(event.start, 1);
    EXPECT_EQ(event.total, 60);
    EXPECT_EQ(event.details.empty(), event.done == 1);
    if (event.milestone.find("validation s1") != std::string::npos) {
      milestones.push_back(event.done);
    }
  }
  EXPECT_EQ(milestones, (std::vector<int64_t>{40, 60}));
}

TEST(Checkpoint, OfAnotherModelIsRefused) {
  const Scratch scratch;
  RunConfig config = image_config(scratch);
  config.train.steps = 1;
  train(config, {.out = scratch / "run", .device = "cpu"});
  config.model.network.rank = 4;
  const std::string error =
      error_of([&] { train(config, {.out = scratch / "run", .resume = true, .device = "cpu"}); });
  EXPECT_NE(error.find("rank must be \"4\"; got \"3\""), std::string::npos) << error;
  config.model.network.rank = 65;  // more than D = 64
  EXPECT_NE(error_of([&] {
              train(config, {.out = scratch / "other", .device = "cpu"});
            }).find("at most D = 64"),
            std::string::npos);
}

TEST(JointTraining, TenSeedsDoNotDiverge) {
  const Scratch scratch;
  RunConfig config = image_config(scratch);
  config.train.steps = 300;
  config.train.learning_rate = 3e-3;
  config.loss.gamma = 0.5;  // five times the default: a careless choice must not blow up
  config.noise.sigma = 0.3;
  for (int64_t seed = 0; seed < 10; ++seed) {
    config.train.seed = seed;
    const auto out = scratch / ("run" + std::to_string(seed));
    train(config, {.out = out, .device = "cpu"});
    const training::Run run = load_run(out, "cpu");
    const double first = checkpoint_number(out / "checkpoints" / "last.safetensors", "best_first");
    EXPECT_LT(first, 0.9) << "seed " << seed
                          << ": no better than the preconditioner's own denoiser";
    const at::Tensor x = 3 * at::randn({50, 64});
    for (double sigma : {0.01, 0.3, 10.0}) {
      const auto result = posterior::denoise(*run.model, x, at::full({}, sigma), {});
      EXPECT_EQ(result.num_negative_variances, 0) << "seed " << seed << " sigma " << sigma;
    }
  }
}

TEST(JointTraining, NonFiniteLossStopsTheRun) {
  const Scratch scratch;
  RunConfig config = image_config(scratch);
  config.train.learning_rate = 1e30;
  config.train.warmup = 0;
  const std::string error =
      error_of([&] { train(config, {.out = scratch / "run", .device = "cpu"}); });
  EXPECT_NE(error.find("must be finite"), std::string::npos) << error;
  EXPECT_NE(error.find("sigma 0.5"), std::string::npos) << error;
  EXPECT_NE(error.find("checkpoint"), std::string::npos) << error;
}

TEST(Training, EveryCombinationTrains) {
  const Scratch scratch;
  torch::manual_seed(10);
  const at::Tensor x =
      at::randn({400, 2}).matmul(at::tensor({1.0f, 0.8f, 0.0f, 0.6f}).view({2, 2}));
  io::write_npy(scratch / "v.npy", io::from_tensor(x));
  int run = 0;
  for (const char* s2 : {"none", "diagonal", "low_rank", "full"}) {
    for (const char* form : {"centred", "product"}) {
      for (const char* parameterisation : {"psd", "free"}) {
        for (bool share : {true, false}) {
          RunConfig config;
          config.data = {(scratch / "v.npy").string(), "data", 50};
          apply_setting(config, std::string("model.s2=") + s2);
          config.model.network.rank = 2;
          config.model.network.mlp.width = 16;
          config.model.network.share_trunk = share;
          apply_setting(config, std::string("model.parameterisation=") + parameterisation);
          apply_setting(config, std::string("loss.form=") + form);
          config.noise.sigma_max = 1.0;
          config.train.steps = 5;
          const auto out = scratch / std::to_string(run++);
          train(config, {.out = out, .device = "cpu"});
          const training::Run loaded = load_run(out, "cpu");
          const int order = std::string(s2) == "none" ? 1 : 2;
          EXPECT_EQ(loaded.model->max_order(), order);
          EXPECT_THROW(loaded.model->evaluate(x, 0.5, 3), std::invalid_argument);
          EXPECT_THROW(loaded.model->evaluate(x, -0.5, 1), std::domain_error);
        }
      }
    }
  }
}

}  // namespace
}  // namespace scorejet::training
