// Denoising, calibrating and scoring as calls: the arrays of the command, and what a stop leaves.
#include "scorejet/tasks.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cstdlib>

#include "src/io/npy.h"
#include "src/io/npz.h"
#include "src/io/png.h"
#include "src/io/tensor_bridge.h"
#include "tests/command.h"

namespace scorejet::tasks {
namespace {

namespace fs = std::filesystem;
using testing::Scratch;

// A copy of the run: calibrating writes into it. Its data are beside the original.
fs::path golden_copy(const Scratch& scratch, const std::string& name) {
  const fs::path golden = fs::path(std::getenv("SCOREJET_SOURCE_DIR")) / "tests" / "golden";
  fs::copy(golden / name, scratch / name, fs::copy_options::recursive);
  for (const char* file : {"points.npy", "disc_points.npy", "rows.npy", "discs.npy"}) {
    if (!fs::exists(scratch / file)) fs::copy(golden / file, scratch / file);
  }
  return scratch / name;
}

// In the folder of the data: the run names them by a path from there.
class InFolder {
 public:
  explicit InFolder(const fs::path& folder) : before_(fs::current_path()) {
    fs::current_path(folder);
  }
  ~InFolder() { fs::current_path(before_); }
  InFolder(const InFolder&) = delete;
  InFolder& operator=(const InFolder&) = delete;

 private:
  fs::path before_;
};

// `rounded`: an array that LAPACK was in, whose last bits are a process's own.
void expect_equal_arrays(const fs::path& a, const fs::path& b, const std::string& rounded = "") {
  const io::NamedArrays first = io::read_npz(a), second = io::read_npz(b);
  ASSERT_EQ(first.size(), second.size());
  for (const auto& [key, array] : first) {
    ASSERT_TRUE(second.contains(key)) << key;
    EXPECT_EQ(array.shape, second.at(key).shape) << key;
    if (key == rounded) {
      EXPECT_TRUE(io::to_tensor(array).allclose(io::to_tensor(second.at(key)), 1e-4, 1e-5)) << key;
    } else {
      EXPECT_TRUE(array.bytes == second.at(key).bytes) << key;
    }
  }
}

at::Tensor array_of(const fs::path& file, const char* name) {
  return io::to_tensor(io::read_npz(file).at(name));
}

// Where it is asked so many times or more, it says stop.
base::Listener stop_after(int64_t count, int64_t& asked) {
  base::Listener listener;
  listener.stop = [count, &asked] { return ++asked >= count; };
  return listener;
}

bool holds_files(const fs::path& folder) {
  return fs::exists(folder) && fs::directory_iterator(folder) != fs::directory_iterator();
}

TEST(DenoiseTask, GivesTheArraysOfTheCommand) {
  const Scratch scratch;
  const fs::path run = golden_copy(scratch, "mlp_low_rank");
  const InFolder here(scratch / "");
  for (const std::string covariance : {"auto", "exact"}) {
    const DenoiseReport report =
        denoise({.denoiser = {.run = run.string(), .covariance = covariance, .device = "cpu"},
                 .error_bars = {.level = 0.9},
                 .input = (scratch / "points.npy").string(),
                 .out = scratch / "called",
                 .sigma = 0.3,
                 .components = 2,
                 .samples = 3,
                 .seed = 5});
    const auto outcome = testing::run(
        scratch, "denoise " + run.string() + " " + (scratch / "points.npy").string() +
                     " --sigma 0.3 --pcs 2 --samples 3 --level 0.9 --seed 5 --device cpu "
                     "--covariance " +
                     covariance + " --out " + (scratch / "commanded").string());
    ASSERT_EQ(outcome.code, 0) << outcome.output;
    const fs::path file = scratch / "called/posterior.npz";
    expect_equal_arrays(file, scratch / "commanded/posterior.npz",
                        covariance == "exact" ? "samples" : "");
    // What is returned is what is written.
    EXPECT_TRUE(array_of(file, "clean").equal(report.input.clean));
    EXPECT_TRUE(array_of(file, "noisy").equal(report.input.noisy));
    EXPECT_TRUE(array_of(file, "mean").equal(report.posterior.mean));
    EXPECT_TRUE(array_of(file, "samples").equal(report.posterior.samples));
    EXPECT_TRUE(array_of(file, "components").equal(report.posterior.components));
    EXPECT_TRUE(array_of(file, "upper").equal(report.interval.upper));
    EXPECT_FALSE(report.figures.empty());
    EXPECT_FALSE(report.stopped);
  }
}

TEST(DenoiseTask, ScoresAreThoseOfTheCommand) {
  const Scratch scratch;
  const fs::path run = golden_copy(scratch, "mlp_third");
  const ScoreArrays arrays = score({.run = run,
                                    .points = scratch / "points.npy",
                                    .out = scratch / "called.npz",
                                    .device = "cpu",
                                    .sigma = 0.3,
                                    .order = 3});
  const auto outcome =
      testing::run(scratch, "score " + run.string() + " " + (scratch / "points.npy").string() +
                                " --sigma 0.3 --order 3 --device cpu --out " +
                                (scratch / "commanded.npz").string());
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  expect_equal_arrays(scratch / "called.npz", scratch / "commanded.npz");
  EXPECT_EQ(arrays.size(), io::read_npz(scratch / "called.npz").size());
}

// A batch of two blocks, stopped after the first.
TEST(DenoiseTask, AStopLeavesWhatWasThere) {
  const Scratch scratch;
  const fs::path run = golden_copy(scratch, "mlp_low_rank");
  torch::manual_seed(1);
  io::write_npy(scratch / "many.npy", io::from_tensor(at::randn({150, 5})));
  const DenoiseOptions options{.denoiser = {.run = run.string(), .device = "cpu"},
                               .input = (scratch / "many.npy").string(),
                               .out = scratch / "out",
                               .sigma = 0.3,
                               .components = 1};
  int64_t asked = 0;
  EXPECT_TRUE(denoise(options, stop_after(1, asked)).stopped);
  EXPECT_FALSE(holds_files(scratch / "out"));
  const DenoiseReport whole = denoise(options);
  EXPECT_FALSE(whole.stopped);
  EXPECT_EQ(whole.posterior.mean.size(0), 150);
  EXPECT_TRUE(fs::exists(scratch / "out/metrics.json"));
}

TEST(DenoiseTask, AStopBetweenPicturesLeavesThoseThatWereDone) {
  const Scratch scratch;
  const fs::path run = golden_copy(scratch, "unet_low_rank");
  torch::manual_seed(2);
  fs::create_directories(scratch / "in");
  for (const char* name : {"a.png", "b.png", "c.png"}) {
    io::write_picture(scratch / "in" / name,
                      {io::from_tensor(at::randint(256, {9, 12, 1}).to(at::kByte))});
  }
  const DenoiseOptions options{.denoiser = {.run = run.string(), .device = "cpu"},
                               .input = (scratch / "in").string(),
                               .out = scratch / "out",
                               .sigma = 0.3,
                               .components = 1};
  int64_t asked = 0;
  const DenoiseReport report = denoise(options, stop_after(3, asked));
  EXPECT_TRUE(report.stopped);
  ASSERT_EQ(report.pictures.size(), 2U);
  EXPECT_EQ(report.pictures[1].file, "b.png");
  for (const char* file : {"a_mean.png", "a_sd.png", "a.npz", "b_mean.png", "b_sd.png", "b.npz"}) {
    EXPECT_TRUE(fs::exists(scratch / "out" / file)) << file;
  }
  EXPECT_FALSE(fs::exists(scratch / "out/c.npz"));
  EXPECT_FALSE(fs::exists(scratch / "out/metrics.json"));
}

// Pictures of the run's own size are read once: a change of the file after that is not seen.
TEST(DenoiseTask, ReadsAPictureOfTheRunsOwnSizeOnce) {
  const Scratch scratch;
  const fs::path run = golden_copy(scratch, "unet_low_rank");
  fs::create_directories(scratch / "in");
  const fs::path file = scratch / "in/a.png";
  io::write_picture(file, {io::from_tensor(at::full({8, 8, 1}, 100, at::kByte))});
  base::Listener listener;
  listener.progress = [&](const base::ProgressEvent&) { fs::remove(file); };
  const DenoiseReport report = denoise({.denoiser = {.run = run.string(), .device = "cpu"},
                                        .input = (scratch / "in").string(),
                                        .out = scratch / "out",
                                        .sigma = 0.3,
                                        .components = 1},
                                       listener);
  EXPECT_FALSE(fs::exists(file));
  ASSERT_EQ(report.pictures.size(), 1U);
  EXPECT_TRUE(fs::exists(scratch / "out/a_mean.png"));
}

TEST(CalibrateTask, GivesTheFileOfTheCommandAndAStopLeavesTheOldOne) {
  const Scratch scratch;
  const fs::path run = golden_copy(scratch, "mlp_low_rank");
  const std::string before = io::read_text(run / "calibration.json");
  const InFolder here(scratch / "");
  const CalibrateOptions options{
      .run = run, .out = scratch / "plots", .device = "cpu", .sigmas = {0.2, 0.4}, .components = 2};
  int64_t asked = 0;
  EXPECT_TRUE(calibrate(options, stop_after(2, asked)).stopped);
  EXPECT_EQ(io::read_text(run / "calibration.json"), before);
  EXPECT_FALSE(holds_files(scratch / "plots"));

  const CalibrateReport report = calibrate(options);
  EXPECT_EQ(report.records.size(), 2U);
  const std::string called = io::read_text(report.file);
  EXPECT_NE(called, before);
  fs::remove(report.file);
  const auto outcome = testing::run(scratch, "calibrate " + run.string() +
                                                 " --sigma 0.2,0.4 --pcs 2 --device cpu --out " +
                                                 (scratch / "commanded").string());
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_EQ(io::read_text(report.file), called);
}

}  // namespace
}  // namespace scorejet::tasks
