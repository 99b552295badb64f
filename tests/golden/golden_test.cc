// Files written by an earlier revision (make.sh beside this says which) load, and give what they
// gave. Add a file there when a format gains a part; never make an old one anew.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "src/io/npz.h"
#include "src/io/safetensors.h"
#include "src/io/tensor_bridge.h"
#include "src/nets/network.h"
#include "src/training/checkpoint.h"
#include "src/training/flat_parameters.h"
#include "src/training/run_folder.h"
#include "tests/command.h"

namespace scorejet {
namespace {

namespace fs = std::filesystem;

fs::path golden_folder() {
  return fs::path(std::getenv("SCOREJET_SOURCE_DIR")) / "tests" / "golden";
}

// Largest difference over the largest size. The files were written on a processor with AVX-512:
// another one sums in another order, so float32 agrees to some 1e-6 of the largest entry.
double golden_error(const fs::path& found, const fs::path& expected, const std::string& key) {
  const at::Tensor a = io::to_tensor(io::read_npz(found).at(key)).to(at::kDouble);
  const at::Tensor b = io::to_tensor(io::read_npz(expected).at(key)).to(at::kDouble);
  if (a.sizes() != b.sizes()) return std::numeric_limits<double>::infinity();
  return ((a - b).abs().max() / b.abs().max()).item<double>();
}

constexpr double kGoldenTolerance = 2e-5;

class GoldenRun : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenRun, GivesTheScoresThatItGave) {
  const testing::Scratch scratch;
  const fs::path run = golden_folder() / GetParam();
  const fs::path out = scratch / "scores.npz";
  const bool images = std::string(GetParam()).starts_with("unet");
  const std::string order = std::string(GetParam()) == "mlp_third" ? "3" : "2";
  const auto outcome = testing::run(
      scratch, "score " + run.string() + " " +
                   (golden_folder() / (images ? "disc_points.npy" : "points.npy")).string() +
                   " --sigma 0.3 --device cpu --order " + order + " --out " + out.string());
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const auto expected = io::read_npz(run / "scores.npz");
  EXPECT_EQ(io::read_npz(out).size(), expected.size());
  for (const auto& [key, array] : expected) {
    EXPECT_LT(golden_error(out, run / "scores.npz", key), kGoldenTolerance) << key;
  }
}

TEST_P(GoldenRun, IsSavedAgainAsItWasRead) {
  const testing::Scratch scratch;
  const fs::path file = golden_folder() / GetParam() / "checkpoints" / "last.safetensors";
  const auto model = training::load_model(file);
  training::FlatParameters parameters(model->network());
  const training::TrainingState state = training::load_checkpoint(file, *model, parameters);
  training::save_checkpoint(scratch / "again.safetensors", *model, parameters, state);
  const io::SafeTensors before = io::read_safetensors(file);
  const io::SafeTensors after = io::read_safetensors(scratch / "again.safetensors");
  for (const auto& [key, value] : before.metadata) {
    ASSERT_TRUE(after.metadata.contains(key)) << key;
    EXPECT_EQ(after.metadata.at(key), value) << key;
  }
  ASSERT_EQ(after.tensors.size(), before.tensors.size());
  for (const auto& [key, array] : before.tensors) {
    ASSERT_TRUE(after.tensors.contains(key)) << key;
    EXPECT_TRUE(at::equal(io::to_tensor(after.tensors.at(key)), io::to_tensor(array))) << key;
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenRun,
                         ::testing::Values("mlp_low_rank", "mlp_full", "mlp_free_diagonal",
                                           "mlp_third", "unet_low_rank", "unet_diagonal"));

TEST(GoldenCalibration, CorrectsAsItDid) {
  const testing::Scratch scratch;
  const fs::path expected = golden_folder() / "calibrated" / "posterior.npz";
  const auto outcome = testing::run(
      scratch, "denoise " + (golden_folder() / "mlp_low_rank").string() + " " +
                   (golden_folder() / "points.npy").string() +
                   " --noisy --sigma 0.3 --pcs 2 --calibrated --level 0.9 --device cpu --out " +
                   (scratch / "out").string());
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  for (const char* key : {"mean", "standard_deviation", "eigenvalues", "lower", "upper"}) {
    EXPECT_LT(golden_error(scratch / "out" / "posterior.npz", expected, key), kGoldenTolerance)
        << key;
  }
}

// A density of the plane needs no matrix product: its chains are the same numbers everywhere, up to
// the last place of libm's functions, which a chain of 16,000 steps may amplify.
TEST(GoldenChains, GoOnFromWhereTheyWereStopped) {
  const testing::Scratch scratch;
  fs::create_directory(scratch / "out");
  fs::copy(golden_folder() / "interrupted" / "chains.npz.partial",
           scratch / "out" / "chains.npz.partial");
  const auto outcome = testing::run(
      scratch,
      "sample banana --kernel metropolis-ozaki --steps 16000 --warmup 16 --thin 2000 --chains 3 "
      "--sigma 0.1 --step-size 0.02 --seed 1 --device cpu --resume --out " +
          (scratch / "out").string());
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const fs::path whole = golden_folder() / "interrupted" / "whole.npz";
  for (const char* key : {"positions", "acceptance", "step_size", "evaluations"}) {
    EXPECT_LT(golden_error(scratch / "out" / "chains.npz", whole, key), 1e-6) << key;
  }
}

class GoldenKernel : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenKernel, MovesAsItDid) {
  const testing::Scratch scratch;
  const std::string kernel = GetParam();
  const auto outcome = testing::run(
      scratch, "sample banana --kernel " + kernel +
                   " --steps 20 --warmup 16 --thin 1 --chains 3 --sigma 0.1 --step-size 0.02 "
                   "--seed 1 --device cpu --out " +
                   (scratch / "out").string());
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const fs::path expected = golden_folder() / ("chains_" + kernel) / "chains.npz";
  for (const char* key : {"positions", "steps", "acceptance", "step_size", "evaluations"}) {
    EXPECT_LT(golden_error(scratch / "out" / "chains.npz", expected, key), 1e-6) << key;
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenKernel,
                         ::testing::Values("metropolis-ozaki", "hmc", "line-ozaki"));

}  // namespace
}  // namespace scorejet
