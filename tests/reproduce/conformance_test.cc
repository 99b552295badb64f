// What every experiment must do: say what it is, write its tables, and go on from its journal to
// the same bytes.
#include "tests/reproduce/conformance.h"

#include <gtest/gtest.h>

#include <set>

#include "src/io/atomic_file.h"
#include "tests/scratch.h"

namespace scorejet::reproduce {
namespace {

TEST(ExperimentConformance, SaysWhatItIs) {
  std::set<std::string> names;
  for (const Experiment& experiment : experiments_under_test()) {
    EXPECT_TRUE(names.insert(experiment.name).second) << experiment.name;
    EXPECT_EQ(experiment.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"),
              std::string::npos);
    EXPECT_GT(experiment.purpose.size(), 10U) << experiment.name;
    EXPECT_EQ(experiment.purpose.find('\n'), std::string::npos) << experiment.name;
    EXPECT_NE(experiment.run, nullptr) << experiment.name;
    const testing::Scratch scratch;
    const std::string error = testing::error_of(
        [&] { reproduce(experiment, {.fast = true, .seeds = 0, .out = scratch / "out"}); });
    EXPECT_NE(error.find("at least 1; got 0"), std::string::npos) << error;
    EXPECT_FALSE(std::filesystem::exists(scratch / "out"));
  }
}

TEST(ExperimentConformance, GoesOnFromItsJournalToTheSameTables) {
  if (!experiments_are_run()) GTEST_SKIP() << "minutes to hours each";
  const char* tables[] = {"table.csv", "table.json", "table.md"};
  for (const Experiment& experiment : experiments_under_test()) {
    SCOPED_TRACE(experiment.name);
    const testing::Scratch scratch;
    const auto run = [&](const char* folder, int64_t seeds) {
      reproduce(experiment, {.fast = true, .seeds = seeds, .out = scratch / folder});
      std::string text;
      for (const char* table : tables) text += io::read_text(scratch / folder / table);
      return text;
    };
    const std::string whole = run("whole", 3), less = run("parts", 1);
    EXPECT_NE(less, whole);
    EXPECT_EQ(run("parts", 3), whole);
    const std::string journal = io::read_text(scratch / "parts" / "journal.jsonl");
    EXPECT_EQ(run("parts", 3), whole);  // nothing is run again
    EXPECT_EQ(io::read_text(scratch / "parts" / "journal.jsonl"), journal);
  }
}

}  // namespace
}  // namespace scorejet::reproduce
