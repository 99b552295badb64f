// The judge: what it learns of images made up here, and which saved judges it takes for its own.
#include "reproduce/mixing/classifier.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "src/base/seed.h"
#include "src/io/atomic_file.h"
#include "src/io/safetensors.h"
#include "tests/scratch.h"

namespace scorejet::reproduce {
namespace {

using testing::error_of;
using testing::Scratch;

// 8 x 8 images of a bar across (class 0) or down (class 1), in noise of a third of its height.
data::Dataset bars(int64_t count, const char* stream) {
  at::Generator random = base::make_generator(1, stream);
  at::Tensor x = 0.33 * at::randn({count, 8, 8}, random);
  const at::Tensor labels = at::randint(2, {count}, random, at::TensorOptions(at::kLong));
  const at::Tensor place = at::randint(8, {count}, random, at::TensorOptions(at::kLong));
  for (int64_t i = 0; i < count; ++i)
    x[i].select(labels[i].item<int64_t>(), place[i].item<int64_t>()).add_(1);
  return {"bars", x.flatten(1), {1, 8, 8}, labels};
}

JudgeOptions small() {
  JudgeOptions options;
  options.network.channels = 8;
  options.network.levels = 2;
  options.network.features = 16;
  options.steps = 150;
  options.batch = 64;
  options.learning_rate = 5e-3;
  options.ema = 0.9;
  return options;
}

TEST(Judge, LearnsAndIsConsistent) {
  const Scratch scratch;
  const data::Dataset test = bars(600, "test");
  const Judge judge = Judge::train_or_load(bars(2000, "train"), small(), scratch / "judge");
  EXPECT_GT(judge.accuracy(test.samples, test.labels), 0.95);
  EXPECT_LT(judge.accuracy(test.samples, 1 - test.labels), 0.05);

  // More images than one batch: each is judged as it would be alone.
  const Verdict all = judge.classify(test.samples);
  const Verdict last = judge.classify(test.samples.narrow(0, 599, 1));
  EXPECT_EQ(all.features.sizes(), (at::IntArrayRef{600, 16}));
  EXPECT_LT((all.features[599] - last.features[0]).abs().max().item<double>(), 1e-5);
  EXPECT_EQ(all.label.scalar_type(), at::kLong);
  EXPECT_FALSE(all.features.requires_grad());

  // Two classes: the entropy is that of a coin of the winner's probability.
  const at::Tensor p = all.confidence.to(at::kDouble), q = (1 - p).clamp_min(1e-300);
  EXPECT_GE(p.min().item<double>(), 0.5);
  EXPECT_LT((all.entropy + p * p.log() + q * q.log()).abs().max().item<double>(), 1e-5);

  EXPECT_NE(error_of([&] {
              judge.classify(at::zeros({2, 65}));
            }).find("[2, 65]"),
            std::string::npos);
}

TEST(Judge, LoadsWhatWasTrainedAsAskedAndNothingElse) {
  const Scratch scratch;
  const auto path = scratch / "judge.safetensors";
  const data::Dataset train = bars(200, "train");
  JudgeOptions options = small();
  options.steps = 3;
  int64_t batches = 0;
  options.distort = [&](const at::Tensor& x, at::Generator) { return ++batches, x; };
  const auto features = [&](const data::Dataset& data) {
    return Judge::train_or_load(data, options, path).classify(train.samples).features;
  };
  const at::Tensor trained = features(train);
  EXPECT_EQ(batches, 3);
  EXPECT_TRUE(features(train).equal(trained));
  EXPECT_EQ(batches, 3);

  const auto retrains = [&](const data::Dataset& data) {
    batches = 0;
    features(data);
    return batches == options.steps;
  };
  options.seed = 1;
  EXPECT_TRUE(retrains(train));
  options.steps = 4;
  EXPECT_TRUE(retrains(train));
  options.network.channels = 4;
  EXPECT_TRUE(retrains(train));
  options.distortion = "another";
  EXPECT_TRUE(retrains(train));
  data::Dataset other = train;
  other.name = "other bars";
  EXPECT_TRUE(retrains(other));
  EXPECT_FALSE(retrains(other));

  std::filesystem::remove(path);  // a function of seed and step: the same weights again
  const at::Tensor again = features(train);
  std::filesystem::remove(path);
  EXPECT_TRUE(features(train).equal(again));
}

TEST(Judge, TrainsOnWhatTheDistortionMakes) {
  const Scratch scratch;
  JudgeOptions options = small();
  options.distort = [](const at::Tensor& x, at::Generator random) {
    return at::randn(x.sizes(), random, x.options());  // nothing is left to learn from
  };
  const data::Dataset train = bars(2000, "train");
  const Judge judge = Judge::train_or_load(train, options, scratch / "judge");
  EXPECT_LT(judge.accuracy(train.samples, train.labels), 0.8);
}

TEST(Judge, RefusesNamingTheFault) {
  const Scratch scratch;
  data::Dataset train = bars(10, "train");
  const auto error = [&] {
    return error_of([&] { Judge::train_or_load(train, small(), scratch / "judge"); });
  };
  io::SafeTensors foreign;
  foreign.metadata["format"] = "scorejet checkpoint 1";
  io::write_safetensors(scratch / "judge", foreign);
  EXPECT_NE(error().find("must be of format \"scorejet judge 1\""), std::string::npos) << error();
  EXPECT_EQ(io::read_safetensors(scratch / "judge").metadata, foreign.metadata);

  train.labels.reset();
  EXPECT_NE(error().find("bars must have labels"), std::string::npos) << error();
  train.name = "mnist";
  EXPECT_NE(error().find("scorejet data fetch mnist"), std::string::npos) << error();
  train.image_shape.clear();
  EXPECT_NE(error().find("images; got vectors"), std::string::npos) << error();
}

TEST(Classifier, TakesImagesOfAnySize) {
  for (const auto& shape : {std::vector<int64_t>{1, 1, 1}, {3, 7, 10}, {2, 28, 5}}) {
    ClassifierOptions options{shape, 4, 8, 3, 6};
    const auto output = Classifier(options).forward(at::rand({2, shape[0] * shape[1] * shape[2]}));
    EXPECT_EQ(output.logits.sizes(), (at::IntArrayRef{2, 4}));
    EXPECT_EQ(output.features.sizes(), (at::IntArrayRef{2, 6}));
    options.levels = 0;
    EXPECT_NE(error_of([&] { Classifier{options}; }).find("levels must be at least 1; got 0"),
              std::string::npos);
  }
  EXPECT_THROW(Classifier({{4, 4}, 2, 8, 1, 6}), std::invalid_argument);
}

TEST(ShiftAndFlip, MovesWholeImages) {
  // Each pixel holds its own place, so a moved image tells by how much.
  const at::Tensor row = at::arange(5).view({5, 1}).expand({5, 6}),
                   column = at::arange(6).expand({5, 6});
  const at::Tensor x = at::stack({row, column}).to(at::kFloat).expand({400, 2, 5, 6});
  const at::Tensor y = shift_and_flip(x, 1, true, base::make_generator(3, "shift"));
  const at::Tensor down = y.select(1, 0).select(2, 0), across = y.select(1, 1).select(1, 0);
  int64_t seen[3][3][2] = {};
  for (int64_t i = 0; i < 400; ++i) {
    const bool mirrored = (across[i][5] < across[i][0]).item<bool>();
    const auto dy = down[i][2].item<int64_t>() - 2;
    const auto dx = mirrored ? 3 - across[i][2].item<int64_t>() : across[i][2].item<int64_t>() - 2;
    ASSERT_LE(std::abs(dy), 1);
    ASSERT_LE(std::abs(dx), 1);
    at::Tensor rows = (at::arange(5) + dy).clamp(0, 4);
    at::Tensor columns =
        ((mirrored ? at::arange(5, -1, -1) : at::arange(6)) + (mirrored ? -dx : dx)).clamp(0, 5);
    EXPECT_TRUE(y[i].equal(x[i].index_select(1, rows).index_select(2, columns)));
    ++seen[dy + 1][dx + 1][mirrored];
  }
  // 18 kinds, each missing with probability (17/18)^400 = 1e-10.
  for (const auto& a : seen) {
    for (const auto& b : a) {
      for (const int64_t times : b) EXPECT_GT(times, 0);
    }
  }
  EXPECT_TRUE(shift_and_flip(x, 0, false, base::make_generator(3, "shift")).equal(x));
}

}  // namespace
}  // namespace scorejet::reproduce
