// A quarter of the cases of check_defaults.cc, those that take little time: none diverges, none is
// refused for a default.
#include <gtest/gtest.h>

#include "tests/defaults/check.h"

namespace scorejet::defaults {
namespace {

TEST(Defaults, NothingGoesSilentlyWrong) {
  const double ratios[] = {0.01, 0.1, 0.5, 1, 2};
  int64_t seed = 0;
  for (const char* name :
       {"three-rows", "one-column", "grey-columns", "eight-gaussians", "funnel"}) {
    const SampleSet set = make_set(name, "");
    for (const double ratio : ratios) {
      const CheckResult result = run_case({name, ratio, seed++ % 5}, set);
      EXPECT_EQ(result.failure, "") << name << " at " << ratio;
      if (set.train.size(0) < 10) continue;  // three rows say nothing of a variance
      EXPECT_EQ(verdict(result), "good") << name << " at " << ratio;
    }
  }
}

}  // namespace
}  // namespace scorejet::defaults
