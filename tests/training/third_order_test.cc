// Third order in training: the reduced gradient is the plain one in expectation and quieter at
// small σ, orders one and two do not feel it, it learns, and it resumes exactly.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "reproduce/accuracy/problems.h"
#include "reproduce/shared/fit.h"
#include "scorejet/gaussian_mixture.h"
#include "scorejet/run.h"
#include "src/io/atomic_file.h"
#include "src/io/npy.h"
#include "src/io/safetensors.h"
#include "src/io/tensor_bridge.h"
#include "src/nets/network.h"
#include "src/training/checkpoint.h"
#include "src/training/run_folder.h"
#include "tests/scratch.h"
#include "tests/training/gradients.h"

namespace scorejet::training {
namespace {

using testing::Scratch;

// Two unequal Gaussians in the plane, close enough that s3 is large where most of the mass is.
distributions::GaussianMixture mixture() {
  return {torch::tensor({0.35, 0.65}, torch::kDouble),
          torch::tensor({-1.0, -0.5, 1.2, 0.3}, torch::kDouble).view({2, 2}),
          (0.4 * torch::eye(2, torch::kDouble)).repeat({2, 1, 1})};
}

models::ScoreModelOptions small_options(bool share_trunk, nets::Structure third) {
  models::ScoreModelOptions options;
  options.network.dim = 2;
  options.network.mlp.width = 16;
  options.network.rank = 2;
  options.network.s3 = third;
  options.network.s3_rank = 3;
  options.network.share_trunk = share_trunk;
  options.scale = models::OutputScale::kData;
  return options;
}

// A model far from its start, so that every gradient has somewhere to flow.
models::ScoreModel scrambled(bool share_trunk, nets::Structure third) {
  torch::manual_seed(8);
  models::ScoreModel model(small_options(share_trunk, third), torch::zeros({2}), torch::ones({2}));
  torch::NoGradGuard no_grad;
  torch::manual_seed(9);
  for (const auto& item : model.network().named_parameters()) {
    item.value().add_(0.2 * torch::randn_like(item.value()));
  }
  return model;
}

NoisyBatch draw(double sigma, int64_t size) {
  const at::Tensor x =
      mixture().sample(size, at::globalContext().defaultGenerator(at::kCPU)).to(at::kFloat);
  return {x, torch::randn_like(x), torch::full({size}, sigma)};
}

at::Tensor third_gradient(const models::ScoreModel& model, const FlatParameters& parameters,
                          const NoisyBatch& batch, bool reduced) {
  objectives::LossOptions options;
  options.variance_reduction = reduced;
  options.gamma3 = 1;
  options.clip_norm = 1e30;
  accumulate_gradients(model, options, batch, parameters);
  return gradient_of(model, parameters, "s3").clone();
}

// Gradients of `count` independent batches, one a row.
at::Tensor gradients(const models::ScoreModel& model, const FlatParameters& parameters,
                     double sigma, bool reduced, int count, int64_t size) {
  std::vector<at::Tensor> rows;
  for (int i = 0; i < count; ++i) {
    rows.push_back(third_gradient(model, parameters, draw(sigma, size), reduced));
  }
  return torch::stack(rows).to(torch::kDouble);
}

TEST(ThirdOrder, ReducedGradientIsThePlainOneInExpectation) {
  const models::ScoreModel model = scrambled(false, nets::Structure::kLowRank);
  const FlatParameters parameters(model.network());
  torch::manual_seed(10);
  constexpr int kBatches = 60;
  const double sigma = 0.7;
  const auto many = [&](bool reduced) {
    return gradients(model, parameters, sigma, reduced, kBatches, 2000);
  };
  // Along its own direction, where it is largest, and along four at random.
  const at::Tensor main = many(true).mean(0);
  const at::Tensor directions = torch::cat(
      {(main / main.norm()).unsqueeze(0), torch::randn({4, main.size(0)}, torch::kDouble)});
  const at::Tensor plain = many(false).matmul(directions.t());
  const at::Tensor reduced = many(true).matmul(directions.t());
  const at::Tensor error = ((plain.var(0) + reduced.var(0)) / kBatches).sqrt();
  // Six standard errors of means of 60 (Student's t with about 100 degrees of freedom): a false
  // alarm below 2e-7 a direction.
  const at::Tensor apart = (plain.mean(0) - reduced.mean(0)) / error;
  EXPECT_LT(apart.abs().max().item<double>(), 6) << apart;
  const at::Tensor control = (plain.mean(0) - 0.5 * reduced.mean(0)) / error;
  EXPECT_GT(control[0].item<double>(), 6) << "control";
}

TEST(ThirdOrder, ReductionCutsTheGradientsVarianceAtSmallSigma) {
  const models::ScoreModel model = scrambled(false, nets::Structure::kLowRank);
  const FlatParameters parameters(model.network());
  torch::manual_seed(11);
  const auto variance = [&](bool reduced) {
    return gradients(model, parameters, 0.05, reduced, 20, 500).var(0).sum().item<double>();
  };
  // Terms of order σ⁻⁶ = 6e7 against order one, whose size depends on how fast the network turns:
  // about 800 with these random weights.
  EXPECT_GT(variance(false) / variance(true), 200);
}

TEST(ThirdOrder, LowerOrdersWithTrunksOfTheirOwnDoNotFeelIt) {
  const models::ScoreModel with = scrambled(false, nets::Structure::kLowRank);
  const models::ScoreModel without = scrambled(false, nets::Structure::kNone);
  const FlatParameters many(with.network()), few(without.network());
  for (objectives::Form form : {objectives::Form::kCentred, objectives::Form::kSketch}) {
    for (bool reduced : {false, true}) {
      objectives::LossOptions options;
      options.form = form;
      options.variance_reduction = reduced;
      options.gamma3 = 1e3;
      torch::manual_seed(12);
      const NoisyBatch batch = draw(0.3, 64);
      const StepLosses a = accumulate_gradients(with, options, batch, many);
      const StepLosses b = accumulate_gradients(without, options, batch, few);
      EXPECT_EQ(a.first, b.first);
      EXPECT_EQ(a.second, b.second);
      EXPECT_TRUE(std::isfinite(a.third) && std::isnan(b.third));
      EXPECT_GT(a.third_gradient, 0);
      EXPECT_TRUE(many.gradients().narrow(0, 0, few.size()).equal(few.gradients()));
      const StepLosses value = evaluate_losses(with, options, batch);
      EXPECT_NEAR(value.third, a.third, 1e-3 * std::abs(a.third));
    }
  }
}

TEST(ThirdOrder, SharedTrunkTakesNoMoreThanItsShare) {
  const models::ScoreModel model = scrambled(true, nets::Structure::kLowRank);
  const FlatParameters parameters(model.network());
  torch::manual_seed(13);
  const NoisyBatch batch = draw(0.3, 64);
  const auto shared = [&](double gamma3, double share) {
    objectives::LossOptions options;
    options.gamma3 = gamma3;
    options.trunk_share = share;
    options.clip_norm = 1e30;
    accumulate_gradients(model, options, batch, parameters);
    at::Tensor gradient = parameters.gradients().clone();
    for (const char* own : {"s2", "s3"}) {
      for (const auto& range : ranges_of(model, parameters, own)) {
        gradient.narrow(0, range.begin, range.end - range.begin).zero_();
      }
    }
    return gradient;
  };
  const at::Tensor below = shared(1e-12, 1.0);
  const at::Tensor bounded = shared(1e6, 1.0), again = shared(1e9, 1.0);
  EXPECT_LT((bounded - again).norm().item<double>(), 1e-4 * bounded.norm().item<double>());
  EXPECT_NEAR((bounded - below).norm().item<double>(), below.norm().item<double>(),
              1e-3 * below.norm().item<double>());
}

TEST(ThirdOrder, LearnsTheThirdScore) {
  const reproduce::Problem problem = reproduce::make_problem("eight");
  const distributions::Distribution& density = *problem.density;
  reproduce::FitOptions options;
  options.model = small_options(false, nets::Structure::kLowRank);
  options.model.network.mlp.width = 64;
  options.model.network.s3_rank = 8;
  options.loss.gamma = options.loss.gamma3 = 1;
  options.loss.clip_norm = 1e30;
  options.sigma = 0.5;
  options.steps = 1000;
  options.learning_rate = 3e-3;
  const reproduce::Fit fit = reproduce::fit(density, options);
  torch::NoGradGuard no_grad;
  torch::manual_seed(14);
  const at::Tensor x = density.sample(4000, at::globalContext().defaultGenerator(at::kCPU));
  const at::Tensor noisy = x + options.sigma * torch::randn_like(x);
  const at::Tensor exact = density.evaluate(noisy, options.sigma, 3).s3->dense();
  const at::Tensor learned =
      fit.model->evaluate(noisy.to(at::kFloat), options.sigma, 3).s3->dense();
  const double error =
      ((learned.to(at::kDouble) - exact).square().sum() / exact.square().sum()).item<double>();
  EXPECT_LT(error, 0.5);
}

TEST(ThirdOrder, ResumedEqualsNeverStopped) {
  const Scratch scratch;
  torch::manual_seed(15);
  io::write_npy(scratch / "v.npy", io::from_tensor(draw(0.3, 400).x));
  for (bool share : {true, false}) {
    RunConfig config;
    config.data = {(scratch / "v.npy").string(), "data", 50};
    config.model.network.s3 = nets::Structure::kLowRank;
    config.model.network.s3_rank = 3;
    config.model.network.rank = 2;
    config.model.network.mlp.width = 16;
    config.model.network.share_trunk = share;
    config.train.steps = 40;
    config.train.checkpoint_every = 20;
    config.train.validate_every = 20;
    const std::string name = share ? "shared" : "apart";
    const auto run = [&](const std::string& part, bool resume, bool stop) {
      return train(config, {.out = scratch / (name + part),
                            .resume = resume,
                            .device = "cpu",
                            .listener = {.stop = [&] { return stop; }}});
    };
    run("whole", false, false);
    EXPECT_FALSE(run("parts", false, true).finished);
    EXPECT_FALSE(run("parts", true, true).finished);
    run("parts", true, false);
    const auto file = [&](const std::string& part) {
      return io::read_safetensors(scratch / (name + part) / "checkpoints" / "last.safetensors");
    };
    const io::SafeTensors whole = file("whole"), parts = file("parts");
    ASSERT_EQ(whole.tensors.size(), parts.tensors.size());
    for (const auto& [key, array] : whole.tensors) {
      EXPECT_EQ(array.bytes, parts.tensors.at(key).bytes) << key;
    }
    EXPECT_EQ(whole.metadata.at("best_third"), parts.metadata.at("best_third"));
    EXPECT_EQ(whole.metadata.at("s3"), "low_rank");
    const training::Run loaded = load_run(scratch / (name + "whole"), "cpu");
    EXPECT_EQ(loaded.model->max_order(), 3);
    const std::string metrics = io::read_text(scratch / (name + "whole") / "metrics.jsonl");
    for (const char* key : {"loss_s3", "grad_norm_s3", "validation_s3"}) {
      EXPECT_NE(metrics.find(key), std::string::npos) << key;
    }
    EXPECT_NE(io::read_text(scratch / (name + "whole") / "run.json").find("\"s3\": \"low_rank\""),
              std::string::npos);
    config.model.network.s3 = nets::Structure::kNone;  // another model than the checkpoint's
    EXPECT_THROW(run("parts", true, false), std::runtime_error);
  }
}

TEST(ThirdOrder, ModelsWithoutItSayNothingOfIt) {
  const auto description = describe_model(scrambled(true, nets::Structure::kNone).options());
  EXPECT_FALSE(description.count("s3"));
  EXPECT_EQ(parse_model(description, "here").network.s3, nets::Structure::kNone);
  auto wrong = describe_model(scrambled(true, nets::Structure::kDiagonal).options());
  EXPECT_EQ(parse_model(wrong, "here").network.s3, nets::Structure::kDiagonal);
  wrong["s3"] = "dense";
  EXPECT_NE(testing::error_of([&] {
              parse_model(wrong, "here");
            }).find("s3 must be none, diagonal, low_rank or full; got \"dense\""),
            std::string::npos);
}

}  // namespace
}  // namespace scorejet::training
