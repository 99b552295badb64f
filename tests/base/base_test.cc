// Errors' wording, seeds, thread counts and device names.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "src/base/check.h"
#include "src/base/device.h"
#include "src/base/seed.h"
#include "src/base/threads.h"
#include "tests/scratch.h"

namespace scorejet::base {
namespace {

using testing::error_of;

TEST(Blas, KernelsAreChosenWhereOpenBlasDoesNotKnowTheProcessor) {
  EXPECT_EQ(blas_core_type("Prescott", SimdLevel::kAvx512), "SkylakeX");
  EXPECT_EQ(blas_core_type("Prescott", SimdLevel::kAvx2), "Haswell");
  EXPECT_EQ(blas_core_type("Prescott", SimdLevel::kBaseline), "");
  EXPECT_EQ(blas_core_type("Zen", SimdLevel::kAvx2), "");
  EXPECT_EQ(blas_core_type("SkylakeX", SimdLevel::kAvx512), "");
}

TEST(Check, MessagesSayWhatWasExpectedAndFound) {
  const at::Tensor x = at::zeros({3, 2});
  EXPECT_EQ(error_of([&] {
              check_shape("m::f", "x", x, {-1, 4});
            }),
            "[m::f] x must have shape [any, 4]; got [3, 2]");
  EXPECT_EQ(error_of([&] { check_shape("m::f", "x", {}, {4}); }),
            "[m::f] x must be defined; got nothing");
  EXPECT_EQ(error_of([&] { check_floating("m::f", "x", x.to(at::kLong)); }),
            "[m::f] x must be float32 or float64; got Long");
  at::Tensor nan = x.clone();
  nan[2][0] = NAN;
  EXPECT_EQ(error_of([&] { check_finite("m::f", "x", nan); }),
            "[m::f] x must be finite; got NaN or infinity at row 2");
  const at::Tensor infinite = at::full({3}, 3e38F);
  EXPECT_EQ(error_of([&] { check_finite("m::f", "x", infinite); }), "");  // though its sum is not
  infinite[1] = INFINITY;
  infinite[2] = -INFINITY;
  EXPECT_EQ(error_of([&] { check_finite("m::f", "x", infinite); }),
            "[m::f] x must be finite; got NaN or infinity at row 1");
  EXPECT_EQ(error_of([&] { check_positive("m::f", "sigma", nan + 1); }),
            "[m::f] sigma must be positive; got nan");
  EXPECT_EQ(error_of([&] { check_positive("m::f", "sigma", -1.0); }),
            "[m::f] sigma must be positive and finite; got -1");
  EXPECT_EQ(error_of([&] { check_like("m::f", "x", x, "y", x.to(at::kDouble)); }),
            "[m::f] x must be Double on cpu like y; got Float on cpu");
  EXPECT_EQ(error_of([&] {
              check_shape("m::f", "x", x, {3, 2});
              check_finite("m::f", "x", at::zeros({0, 2}));
            }),
            "");
}

TEST(Nearest, FindsMisspellingsAndNothingElse) {
  const std::vector<std::string> names{"train.batch", "train.steps"};
  EXPECT_EQ(nearest("train.bach", names), "train.batch");
  EXPECT_EQ(nearest("zzz", names), "");
}

TEST(Seed, EveryInputMatters) {
  const auto draw = [](uint64_t seed, const char* stream, uint64_t index) {
    return at::rand({4}, make_generator(seed, stream, index));
  };
  EXPECT_TRUE(draw(1, "a", 2).equal(draw(1, "a", 2)));
  EXPECT_FALSE(draw(1, "a", 2).equal(draw(2, "a", 2)));
  EXPECT_FALSE(draw(1, "a", 2).equal(draw(1, "b", 2)));
  EXPECT_FALSE(draw(1, "a", 2).equal(draw(1, "a", 3)));
}

TEST(Threads, EnvironmentOverrides) {
  unsetenv("SCOREJET_THREADS");
  EXPECT_GE(num_threads(), 1);
  setenv("SCOREJET_THREADS", "3", 1);
  EXPECT_EQ(num_threads(), 3);
  for (const char* bad : {"0", "two", "3x", ""}) {
    setenv("SCOREJET_THREADS", bad, 1);
    EXPECT_NE(error_of([] { num_threads(); }).find("SCOREJET_THREADS"), std::string::npos) << bad;
  }
  unsetenv("SCOREJET_THREADS");
}

TEST(Device, ParsesAndNamesTheFault) {
  EXPECT_EQ(parse_device("cpu").str(), "cpu");
  for (const char* bad : {"gpu", "cuda:x", "cuda:-1", "cpu:4", "cuda:99"}) {
    EXPECT_NE(error_of([&] { parse_device(bad); }).find(bad), std::string::npos) << bad;
  }
}

}  // namespace
}  // namespace scorejet::base
