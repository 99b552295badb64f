// Commands that need no run: densities and their chains, diagnoses, causal orders, bench.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "src/io/atomic_file.h"
#include "src/io/npy.h"
#include "src/io/npz.h"
#include "src/io/tensor_bridge.h"
#include "tests/command.h"
#include "tests/write_csv.h"

namespace scorejet {
namespace {

using testing::Outcome;
using testing::run;
using testing::Scratch;
namespace fs = std::filesystem;

TEST(Cli, BenchPrintsAndWritesEveryFigure) {
  const Scratch scratch;
  const std::string file = (scratch / "bench.json").string();
  const Outcome outcome = run(scratch, "bench --seconds 1 --json " + file);
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const auto json = nlohmann::json::parse(io::read_text(file));
  ASSERT_GT(json["figures"].size(), 25);
  for (const auto& one : json["figures"]) {
    const auto name = one["name"].get<std::string>();
    EXPECT_NE(outcome.output.find("| " + name + " |"), std::string::npos) << name;
    EXPECT_GT(one["seconds"].get<double>(), 0) << name;
    EXPECT_TRUE(one["share"].is_number()) << name;
  }
  const Outcome bad = run(scratch, "bench --seconds 0");
  EXPECT_EQ(bad.code, 2) << bad.output;
}

TEST(Cli, SampleRunsOnDensitiesAndGeneratesFromNoise) {
  const Scratch scratch;
  const std::string out = (scratch / "chains").string();
  const std::string arguments =
      "sample banana --kernel hmc,line-ozaki --sigma 0.1 --warmup 20 --steps 30 --thin 1 "
      "--chains 5 --out " +
      out;
  const Outcome chains = run(scratch, arguments);
  ASSERT_EQ(chains.code, 0) << chains.output;
  const io::NamedArrays arrays = io::read_npz(scratch / "chains/chains_hmc.npz");
  EXPECT_EQ(arrays.at("positions").shape, (std::vector<int64_t>{5, 31, 2}));
  EXPECT_EQ(arrays.at("acceptance").shape, (std::vector<int64_t>{5}));
  EXPECT_EQ(io::to_tensor(arrays.at("evaluations")).item<int64_t>(), 5 * (1 + 50 * 10));
  EXPECT_EQ(run(scratch, "diagnose " + out + "/chains_line-ozaki.npz").code, 0);
  // What an interrupted run leaves is neither overwritten nor mistaken for another run.
  fs::create_directories(scratch / "chains/chains_hmc.npz.partial");
  io::write_file(scratch / "chains/chains_hmc.npz.partial/description.txt", "another run");
  EXPECT_NE(run(scratch, arguments).output.find("unfinished run"), std::string::npos);
  EXPECT_NE(run(scratch, arguments + " --resume").output.find("it holds another run"),
            std::string::npos);
  const Outcome generated = run(scratch,
                                "sample eight-gaussians --levels 4 --sigma-max 3 --sigma 0.1 "
                                "--steps 5 --chains 20 --out " +
                                    (scratch / "generated").string());
  ASSERT_EQ(generated.code, 0) << generated.output;
  EXPECT_EQ(io::read_npz(scratch / "generated/samples.npz").at("x").shape,
            (std::vector<int64_t>{20, 2}));
}

TEST(Cli, DataSampleDrawsTheSamePointsFromTheSameSeed) {
  const Scratch scratch;
  const auto draw = [&](const std::string& name, int seed) {
    const Outcome outcome =
        run(scratch, fmt::format("data sample two-moons --count 50 --seed {} --out {}", seed,
                                 (scratch / name).string()));
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
    return io::to_tensor(io::read_npy(scratch / name.substr(0, name.find(' '))));
  };
  const at::Tensor x = draw("a.npy", 1);
  EXPECT_EQ(x.sizes(), (std::vector<int64_t>{50, 2}));
  EXPECT_TRUE(x.equal(draw("b.npy", 1)));
  EXPECT_FALSE(x.equal(draw("c.npy", 2)));
  const at::Tensor noisy = draw("d.npy --sigma 0.1", 1) - x;
  EXPECT_NEAR(noisy.std().item<double>(), 0.1, 5 * 0.1 / std::sqrt(200.0));
  io::write_file(scratch / "c.toml", "[data]\nname = \"" + (scratch / "a.npy").string() +
                                         "\"\nvalidation = 20\n[model]\nrank = 2\n"
                                         "[train]\nsteps = 2\nbatch = 8\n");
  const Outcome train = run(
      scratch, "train " + (scratch / "c.toml").string() + " --out " + (scratch / "run").string());
  EXPECT_EQ(train.code, 0) << train.output;
}

// 3 chains of 2 coordinates, 101 positions 5 steps apart, the middle one diverged.
io::NamedArrays make_chains() {
  torch::manual_seed(14);
  at::Tensor x = at::randn({3, 101, 2});
  x.select(2, 1).add_(at::tensor({0.0F, 9.0F, 1.0F}).unsqueeze(1));
  return {{"positions", io::from_tensor(x)},
          {"steps", io::from_tensor(5 * at::arange(101, at::kLong))},
          {"diverged_at", io::from_tensor(at::tensor({-1, 40, -1}, at::kLong))},
          {"acceptance", io::from_tensor(at::tensor({0.5F, 0.1F, 0.7F}))},
          {"evaluations", io::from_tensor(at::tensor({1500}, at::kLong))},
          {"seconds", io::from_tensor(at::tensor({2.0}, at::kDouble))}};
}

TEST(Cli, DiagnoseJudgesChains) {
  const Scratch scratch;
  io::write_npz(scratch / "chains.npz", make_chains());
  io::write_npy(scratch / "ref.npy", io::from_tensor(at::randn({200, 2})));
  const std::string file = (scratch / "chains.npz").string();
  io::write_npy(scratch / "modes.npy",
                io::from_tensor(at::tensor({0.0, 0.0, 0.0, 1.0}).view({2, 2})));
  const Outcome good =
      run(scratch, "diagnose " + file + " --reference " + (scratch / "ref.npy").string() +
                       " --modes " + (scratch / "modes.npy").string());
  ASSERT_EQ(good.code, 0) << good.output;
  for (const char* part :
       {"2 chains of 91 draws", "1 of 3 chains diverged", "R-hat", "acceptance: 0.600",
        "score evaluations", "energy distance", "transitions"}) {
    EXPECT_NE(good.output.find(part), std::string::npos) << part << " in " << good.output;
  }
  const auto json = nlohmann::json::parse(io::read_text(scratch / "diagnostics.json"));
  EXPECT_LT(json["coordinates"]["rhat"][0], 1.05);
  EXPECT_GT(json["coordinates"]["rhat"][1], 1.1) << "its chains are apart";
  EXPECT_EQ(json["diverged"], nlohmann::json::array({1}));
  EXPECT_NEAR(json["modes"]["fractions"][0].get<double>(), 0.5, 0.15);
  const double ess = json["coordinates"]["ess_bulk"][0];
  EXPECT_NEAR(json["ess_per_1000_evaluations"]["median"].get<double>() * 1.5,
              (ess + json["coordinates"]["ess_bulk"][1].get<double>()) / 2, 1e-9 * ess);
  EXPECT_NEAR(json["coordinates"]["tau_steps"][0].get<double>(), 5, 3);
  for (const char* picture : {"trace.png", "rank.png", "autocorrelation.png"}) {
    EXPECT_TRUE(fs::exists(scratch / picture) || good.output.find("gnuplot") != std::string::npos)
        << picture;
  }

  // One array of one chain, with a constant coordinate among many.
  at::Tensor one = at::randn({80, 12}, at::kDouble);
  one.select(1, 4).fill_(2);
  io::write_npz(scratch / "one.npz", {{"anything", io::from_tensor(one)}});
  const Outcome single =
      run(scratch, "diagnose " + (scratch / "one.npz").string() +
                       " --coordinates 4,11 --burn-in 0 --out " + (scratch / "one").string());
  ASSERT_EQ(single.code, 0) << single.output;
  for (const char* part : {"1 chain of 79 draws", "median", "1 of 12 coordinates"}) {
    EXPECT_NE(single.output.find(part), std::string::npos) << part << " in " << single.output;
  }
  EXPECT_TRUE(nlohmann::json::parse(
                  io::read_text(scratch / "one/diagnostics.json"))["coordinates"]["rhat"][4]
                  .is_null());
}

TEST(Cli, DiagnoseNamesWhatIsWrongInAFile) {
  const Scratch scratch;
  const io::NamedArrays good = make_chains();
  io::write_npz(scratch / "good.npz", good);
  io::write_npy(scratch / "ref.npy", io::from_tensor(at::randn({20, 3})));
  struct Case {
    std::string array;
    at::Tensor value;
    std::string expected;
  };
  const std::vector<Case> files{
      {"positions", at::zeros({4}), "positions must be [chains, kept, D] or [kept, D]; got [4]"},
      {"positions", at::zeros({3, 0, 2}), "must not be empty; got [3, 0, 2]"},
      {"positions", at::zeros({3, 102, 2}), "steps must have shape [102]; got [101]"},
      {"steps", at::arange(101, at::kLong).square(), "rise evenly; got 4 after 1 at index 2"},
      {"diverged_at", at::ones({3}, at::kLong), "all 3 did"},
      {"acceptance", at::ones({2}), "acceptance must have shape [3]; got [2]"}};
  for (const Case& c : files) {
    io::NamedArrays arrays = good;
    arrays[c.array] = io::from_tensor(c.value);
    io::write_npz(scratch / "bad.npz", arrays);
    const Outcome outcome = run(scratch, "diagnose " + (scratch / "bad.npz").string());
    EXPECT_EQ(outcome.code, 1) << outcome.output;
    EXPECT_NE(outcome.output.find("bad.npz"), std::string::npos) << outcome.output;
    EXPECT_NE(outcome.output.find(c.expected), std::string::npos) << outcome.output;
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
  }
  io::NamedArrays nameless = good;
  nameless.erase("positions");
  io::write_npz(scratch / "nameless.npz", nameless);
  const std::string path = fmt::format(" {} ", (scratch / "good.npz").string());
  const std::vector<std::pair<std::string, std::string>> calls{
      {" /no/such.npz", "/no/such.npz"},
      {fmt::format(" {}", (scratch / "nameless.npz").string()),
       "called positions, or one array; got acceptance"},
      {path + "--burn-in 1", "[0, 1); got 1"},
      {path + "--burn-in 0.98", "at least 4 positions of each chain; got 101, 98 dropped"},
      {path + "--coordinates 2", "0..1"},
      {path + "--coordinates 0,1,0,1,0", "at most 4; got 5"},
      {path + "--reference " + (scratch / "ref.npy").string(), "the 2 columns"}};
  for (const auto& [arguments, expected] : calls) {
    const Outcome outcome = run(scratch, "diagnose" + arguments);
    EXPECT_NE(outcome.code, 0) << arguments;
    EXPECT_NE(outcome.output.find(expected), std::string::npos) << outcome.output;
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
  }
  EXPECT_FALSE(fs::exists(scratch / "diagnostics.json"));
}

TEST(Cli, CausalOrderNamesColumns) {
  const Scratch scratch;
  torch::manual_seed(13);
  const at::Tensor a = at::randn({300}, at::kDouble);
  const at::Tensor b = (2 * a).sin() + 0.5 * at::randn({300}, at::kDouble);
  const auto write = [&](const at::Tensor& x, const std::vector<std::string>& header) {
    testing::write_csv(scratch / "t.csv", io::from_tensor(x), header);
    return run(scratch, "causal-order " + (scratch / "t.csv").string() + " --steps 200 --out " +
                            (scratch / "order.json").string());
  };
  const Outcome good = write(at::stack({b, a}, 1), {"effect", "cause"});
  ASSERT_EQ(good.code, 0) << good.output;
  EXPECT_NE(good.output.find("\ncause,effect\n"), std::string::npos) << good.output;
  const auto json = nlohmann::json::parse(io::read_text(scratch / "order.json"));
  EXPECT_EQ(json["order"], (std::vector<std::string>{"cause", "effect"}));
  ASSERT_EQ(json["stages"].size(), 1);
  EXPECT_EQ(json["stages"][0]["leaf"], "effect");
  const double ratio = json["stages"][0]["variances"]["cause"].get<double>() /
                       json["stages"][0]["variances"]["effect"].get<double>();
  EXPECT_NEAR(json["stages"][0]["gap"].get<double>(), ratio, 1e-9 * ratio);
  EXPECT_NE(write(at::stack({b, a}, 1), {}).output.find("\nx2,x1\n"), std::string::npos);
  const auto refused = [&](const at::Tensor& x, const char* text) {
    const Outcome bad = write(x, {"p", "q"});
    EXPECT_NE(bad.code, 0);
    EXPECT_NE(bad.output.find(text), std::string::npos) << bad.output;
    EXPECT_EQ(std::count(bad.output.begin(), bad.output.end(), '\n'), 1) << bad.output;
  };
  refused(at::stack({b, at::full({300}, 7.0, at::kDouble)}, 1), "column \"q\" is constant");
  at::Tensor nan = at::stack({b, a}, 1);
  nan[8][0] = NAN;
  refused(nan, "row 9 of the data, column \"p\"");
  EXPECT_EQ(write(at::stack({b, a}, 1), {"p", "p"}).code, 2);
}

}  // namespace
}  // namespace scorejet
