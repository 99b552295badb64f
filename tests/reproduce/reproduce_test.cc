// The machinery of the experiments: workers and their journal, tables, fits that share a seed.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>

#include "reproduce/accuracy/accuracy.h"
#include "reproduce/accuracy/problems.h"
#include "reproduce/shared/fit.h"
#include "reproduce/shared/table.h"
#include "reproduce/shared/workers.h"
#include "scorejet/gaussian_mixture.h"
#include "src/io/atomic_file.h"
#include "tests/scratch.h"

namespace scorejet::reproduce {
namespace {

using Json = nlohmann::ordered_json;
using testing::error_of;
using testing::Scratch;

Task square(int value) {
  return {"square " + std::to_string(value), [value] { return Json(value * value); }};
}

// The first test of the binary: the workers are forked before any tensor work.
TEST(RunTasks, GoesOnFromItsJournal) {
  const Scratch scratch;
  const auto journal = scratch / "journal.jsonl";
  EXPECT_EQ(run_tasks("test", {square(3), square(2)}, journal), (std::vector<Json>{9, 4}));
  {  // a kill in the middle of a line
    std::ofstream torn(journal, std::ios::app);
    torn << R"({"key":"square 5","resu)";
  }
  const Task known{"square 2", []() -> Json { throw std::runtime_error("ran again"); }};
  EXPECT_EQ(run_tasks("test", {known, square(3)}, journal), (std::vector<Json>{4, 9}));
  const Task failing{"new", []() -> Json { throw std::runtime_error("no such luck"); }};
  EXPECT_EQ(error_of([&] { run_tasks("test", {known, failing}, journal); }), "no such luck");
  const Task dying{"dies", []() -> Json { std::abort(); }};
  EXPECT_NE(error_of([&] { run_tasks("test", {dying}, journal); }).find("a worker ended"),
            std::string::npos);
}

TEST(RunTasks, ATornLineDoesNotSwallowTheNext) {
  const Scratch scratch;
  const auto journal = scratch / "journal.jsonl";
  io::write_file(journal, R"({"key":"square 5","resu)");
  EXPECT_EQ(run_tasks("test", {square(5)}, journal), std::vector<Json>{25});
  EXPECT_EQ(run_tasks("test", {square(5)}, journal), std::vector<Json>{25});
}

TEST(Table, IsWhatWasPutIn) {
  const Scratch scratch;
  const Rows rows{{{"problem", "normal"}, {"sigma", 0.1}, {"rank", nullptr}, {"seeds", 3}},
                  {{"problem", "eight"}, {"sigma", 1234.5678}, {"rank", "full"}, {"seeds", 1}}};
  write_table(scratch / "table", rows);
  EXPECT_EQ(io::read_text(scratch / "table.csv"),
            "problem,sigma,rank,seeds\nnormal,0.1,,3\neight,1234.5678,full,1\n");
  EXPECT_EQ(Json::parse(io::read_text(scratch / "table.json")), Json(rows));
  EXPECT_NE(markdown_table(rows).find("| eight | 1.23e+03 | full | 1 |"), std::string::npos);
  EXPECT_EQ(spread({1, 3}).mean, 2);
  EXPECT_NEAR(spread({1, 3}).deviation, std::sqrt(2.0), 1e-12);
  EXPECT_EQ(spread({5}).deviation, 0);
}

TEST(Reproduce, RefusesWhatItDoesNotKnow) {
  const Scratch scratch;
  ReproduceOptions options;
  options.out = scratch / "out";
  EXPECT_NE(error_of([&] { reproduce("acuracy", options); }).find("the nearest is accuracy"),
            std::string::npos);
  options.seeds = 0;
  EXPECT_NE(error_of([&] { reproduce("accuracy", options); }).find("at least 1; got 0"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(options.out));
}

FitOptions small_fit(objectives::Form form) {
  FitOptions options;
  options.model.network.mlp.width = 16;
  options.model.network.rank = 2;
  options.loss.form = form;
  options.steps = 30;
  options.batch = 16;
  options.ema = 0.9;
  return options;
}

at::Tensor s1_of(const Fit& fit, const at::Tensor& x) {
  at::NoGradGuard no_grad;
  return fit.model->evaluate(x, 0.1, 1).s1;
}

TEST(Fit, MethodsThatShareASeedShareS1) {
  const Problem problem = make_problem("eight");
  const at::Tensor x = at::tensor({0.5f, 1.0f, 2.0f, 0.1f, -1.0f, -2.0f}).view({3, 2});
  const at::Tensor centred = s1_of(fit(*problem.density, small_fit(objectives::Form::kCentred)), x);
  const at::Tensor product = s1_of(fit(*problem.density, small_fit(objectives::Form::kProduct)), x);
  FitOptions other = small_fit(objectives::Form::kCentred);
  other.seed = 1;
  EXPECT_LT((centred - product).abs().max().item<double>(), 1e-5);
  EXPECT_GT((centred - s1_of(fit(*problem.density, other), x)).abs().max().item<double>(), 1e-3);
}

TEST(Fit, HoldsS1AfterItsSteps) {
  const Problem problem = make_problem("eight");
  const at::Tensor x = at::tensor({0.5f, 1.0f, 2.0f, 0.1f}).view({2, 2});
  FitOptions options = small_fit(objectives::Form::kCentred);
  const at::Tensor trained = s1_of(fit(*problem.density, options), x);
  options.first_steps = 1;
  const at::Tensor held = s1_of(fit(*problem.density, options), x);
  options.steps = 1;
  const at::Tensor once = s1_of(fit(*problem.density, options), x);
  EXPECT_LT((held - once).abs().max().item<double>(), 1e-3);  // their averages differ by a little
  EXPECT_GT((trained - once).abs().max().item<double>(), 1e-2);
}

TEST(Problems, EachHasExactScores) {
  at::NoGradGuard no_grad;
  for (const std::string& name : problem_names()) {
    const Problem problem = make_problem(name);
    const at::Tensor x = problem.density->sample(4, at::Generator());
    const score::Jet jet = problem.density->evaluate(x, 0.1, 2);
    EXPECT_TRUE(at::isfinite(jet.s2->dense()).all().item<bool>()) << name;
  }
  EXPECT_THROW(make_problem("nine"), std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::reproduce
