// Sampling and diagnosing as calls: what comes back, what is told on the way, and what an earlier
// release left unfinished.
#include "scorejet/tasks.h"

#include <gtest/gtest.h>

#include <set>

#include "src/io/atomic_file.h"
#include "src/io/npz.h"
#include "tests/scratch.h"

namespace scorejet::tasks {
namespace {

SampleOptions short_run(const std::filesystem::path& out) {
  return {.target = {.name = "banana", .sigma = 0.1, .chains = 5},
          .out = out,
          .kernels = {"langevin", "hmc"},
          .steps = 20,
          .warmup = 5,
          .thin = 1,
          .kernel_options = {{"leapfrog", 3}}};
}

TEST(SampleTask, ReportsWhatItRanAndTellsHowFarItIs) {
  const testing::Scratch scratch;
  std::set<std::string> told;
  int64_t last = 0;
  base::Listener listener;
  listener.progress = [&](const base::ProgressEvent& event) {
    told.insert(event.task);
    EXPECT_EQ(event.total, 25);
    last = event.done;
  };
  const SampleReport report = sample(short_run(scratch / "out"), listener);
  ASSERT_EQ(report.kernels.size(), 2U);
  EXPECT_EQ(report.kernels[0].num_evaluations, 5 * 26);  // langevin has no leapfrog steps
  EXPECT_EQ(report.kernels[1].num_evaluations, 5 * (1 + 25 * 3));
  EXPECT_EQ(report.kernels[1].resumed_from, -1);
  EXPECT_EQ(told, (std::set<std::string>{"langevin", "hmc"}));
  EXPECT_EQ(last, 25);
  EXPECT_TRUE(std::filesystem::exists(scratch / "out/metrics.json"));

  const DiagnoseReport found =
      diagnose({.file = scratch / "out/chains_hmc.npz", .out = scratch / "judged"});
  EXPECT_EQ(found.chains.positions.sizes(), at::IntArrayRef({5, 19, 2}));
  EXPECT_EQ(*found.chains.num_evaluations, 5 * (1 + 25 * 3));
  EXPECT_EQ(found.worst.size(), 2U);
  ASSERT_TRUE(found.acceptance.has_value());
  EXPECT_GT(found.acceptance->mean, 0.3);
  EXPECT_FALSE(found.modes.has_value());
  EXPECT_TRUE(std::filesystem::exists(scratch / "judged/diagnostics.json"));
}

// Release 0.1 wrote leapfrog steps and line panels of every kernel into the description.
TEST(SampleTask, GoesOnWithARunOfAnEarlierRelease) {
  const testing::Scratch scratch;
  SampleOptions options = short_run(scratch / "out");
  options.kernels = {"langevin"};
  options.resume = true;
  const std::filesystem::path folder = scratch / "out/chains.npz.partial";
  const std::string course =
      "langevin on banana, sigma 0.1, step size 0.0010000000000000002, 20 steps after 5, thin 1, "
      "5 chains from data, seed 0";
  std::filesystem::create_directories(folder);
  io::write_file(folder / "description.txt", course + ", 4 leapfrog steps, 1 line panels");
  EXPECT_THROW(sample(options), std::runtime_error);
  io::write_file(folder / "description.txt", course + ", 3 leapfrog steps, 1 line panels");
  EXPECT_NO_THROW(sample(options));
}

// Stopped after the first step of the second kernel, then gone on with: the same file.
TEST(SampleTask, StopsWhenAskedAndGoesOn) {
  const testing::Scratch scratch;
  SampleOptions options = short_run(scratch / "whole");
  sample(options);
  options.out = scratch / "parts";
  bool second = false;
  const base::Listener listener{
      .progress = [&](const base::ProgressEvent& event) { second = event.task == "hmc"; },
      .stop = [&] { return second; }};
  const SampleReport report = sample(options, listener);
  EXPECT_TRUE(report.stopped);
  EXPECT_EQ(report.kernels.size(), 2U);
  EXPECT_FALSE(std::filesystem::exists(options.out / "chains_hmc.npz"));
  EXPECT_FALSE(std::filesystem::exists(options.out / "metrics.json"));
  options.resume = true;
  const SampleReport rest = sample(options);
  EXPECT_FALSE(rest.stopped);
  EXPECT_EQ(rest.kernels[1].resumed_from, 1);
  const auto positions = [&](const char* folder) {
    return io::read_npz(scratch / folder / "chains_hmc.npz").at("positions").bytes;
  };
  EXPECT_EQ(positions("whole"), positions("parts"));
}

TEST(SampleTask, StoppedGenerationWritesNoSamples) {
  const testing::Scratch scratch;
  SampleOptions options{.target = {.name = "banana", .sigma = 0.1, .chains = 5},
                        .out = scratch / "out",
                        .kernels = {"langevin"},
                        .sigma_max = 1,
                        .steps = 2,
                        .levels = 3};
  int64_t asked = 0;
  EXPECT_TRUE(sample(options, {.stop = [&] { return ++asked == 3; }}).stopped);
  EXPECT_EQ(asked, 3);
  EXPECT_FALSE(std::filesystem::exists(scratch / "out/samples.npz"));
  EXPECT_FALSE(sample(options).stopped);
  EXPECT_TRUE(std::filesystem::exists(scratch / "out/samples.npz"));
}

TEST(SampleTask, RefusesAnOptionThatNoChosenKernelHas) {
  const testing::Scratch scratch;
  SampleOptions options = short_run(scratch / "out");
  options.kernels = {"langevin", "ozaki"};
  EXPECT_EQ(testing::error_of([&] { sample(options); }),
            "[sample] --leapfrog must go with --kernel hmc; got --kernel langevin,ozaki");
  EXPECT_FALSE(std::filesystem::exists(scratch / "out"));
}

TEST(SampleTask, RefusesOptionsOutOfTheirRange) {
  const testing::Scratch scratch;
  SampleOptions options = short_run(scratch / "out");
  options.kernel_options = {{"leapfrog", 0}};
  EXPECT_THROW(sample(options), std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::tasks
