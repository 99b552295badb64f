// Sampling and diagnosing as calls: what comes back, what is told on the way, and what an earlier
// release left unfinished.
#include "scorejet/tasks.h"

#include <gtest/gtest.h>

#include <set>

#include "src/io/atomic_file.h"
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

TEST(SampleTask, RefusesOptionsOutOfTheirRange) {
  const testing::Scratch scratch;
  SampleOptions options = short_run(scratch / "out");
  options.kernel_options = {{"leapfrog", 0}};
  EXPECT_THROW(sample(options), std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::tasks
