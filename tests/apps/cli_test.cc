// The command line end to end on a tiny data set: good runs, kill -9 and resume, bad input.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "src/io/atomic_file.h"
#include "src/io/npy.h"
#include "src/io/npz.h"
#include "src/io/safetensors.h"
#include "src/io/tensor_bridge.h"
#include "tests/command.h"

namespace scorejet {
namespace {

using testing::command;
using testing::Outcome;
using testing::run;
using testing::Scratch;
namespace fs = std::filesystem;

// 8 x 8 pictures and a configuration to train on them.
void prepare(const Scratch& scratch) {
  torch::manual_seed(11);
  const at::Tensor coarse = at::rand({200, 4, 4}).mul(255).to(at::kByte);
  const at::Tensor images = coarse.repeat_interleave(2, 1).repeat_interleave(2, 2);
  io::write_npy(scratch / "x.npy", io::from_tensor(images));
  io::write_file(scratch / "c.toml",
                 "[data]\nname = \"" + (scratch / "x.npy").string() +
                     "\"\nvalidation = 20\n[model]\nchannels = 8\nrank = 3\n"
                     "[train]\nsteps = 200\nbatch = 8\ncheckpoint_every = 10\n");
}

TEST(Cli, TrainDenoiseSampleScoreReportInfo) {
  const Scratch scratch;
  prepare(scratch);
  const std::string out = (scratch / "run").string(), input = (scratch / "x.npy").string();
  ASSERT_EQ(
      run(scratch, "train " + (scratch / "c.toml").string() + " --set train.steps=30 --out " + out)
          .code,
      0);
  const Outcome denoise =
      run(scratch, "denoise " + out + " " + input +
                       " --sigma 0.5 --pcs 4 --samples 2 --baseline --out " + out + "/denoise");
  ASSERT_EQ(denoise.code, 0) << denoise.output;
  const auto metrics = nlohmann::json::parse(io::read_text(scratch / "run/denoise/metrics.json"));
  for (const char* key :
       {"psnr_noisy", "psnr_denoised", "predicted_variance_over_mse", "residual_energy_top_k",
        "residual_energy_pca_k", "k", "num_negative_variances", "train_seconds"}) {
    EXPECT_TRUE(metrics.contains(key)) << key;
  }
  EXPECT_EQ(metrics["num_negative_variances"], 0);
  const io::NamedArrays posterior = io::read_npz(scratch / "run/denoise/posterior.npz");
  EXPECT_EQ(posterior.at("components").shape, (std::vector<int64_t>{200, 4, 64}));
  EXPECT_EQ(posterior.at("samples").shape, (std::vector<int64_t>{200, 2, 64}));
  for (const char* kernel : {"langevin", "ozaki"}) {
    const Outcome sample = run(scratch, "sample " + out + " --kernel " + kernel +
                                            " --step-size 0.1 --steps 10 --chains 3 --sigma 0.5 "
                                            "--init noise --out " +
                                            out + "/" + kernel);
    ASSERT_EQ(sample.code, 0) << sample.output;
    EXPECT_EQ(io::read_npz(scratch / "run" / kernel / "chains.npz").at("positions").shape[1], 11);
  }
  const Outcome both = run(scratch, "sample " + out +
                                        " --kernel langevin,ozaki --steps 5 --chains 2 --sigma 0.9 "
                                        "--out " +
                                        out + "/both");
  EXPECT_EQ(both.code, 0);
  EXPECT_NE(both.output.find("outside what the run was trained on: 0.5"), std::string::npos);
  const auto start = [&](const char* file) {
    return io::to_tensor(io::read_npz(scratch / file).at("positions")).select(1, 0);
  };
  EXPECT_TRUE(start("run/both/chains_langevin.npz").equal(start("run/both/chains_ozaki.npz")));
  EXPECT_TRUE(fs::exists(scratch / "run/both/course.png"));
  ASSERT_EQ(run(scratch, "score " + out + " " + input + " --sigma 0.5 --structure dense --out " +
                             (scratch / "s.npz").string())
                .code,
            0);
  EXPECT_EQ(io::read_npz(scratch / "s.npz").at("s2").shape, (std::vector<int64_t>{200, 64, 64}));
  EXPECT_EQ(run(scratch, "report " + out).code, 0);
  EXPECT_TRUE(fs::exists(scratch / "run/report.html"));
  EXPECT_NE(run(scratch, "info " + out).output.find("low_rank"), std::string::npos);
}

TEST(Cli, VectorsHaveNoPictures) {
  const Scratch scratch;
  torch::manual_seed(12);
  const std::string input = (scratch / "p.npy").string(), out = (scratch / "run").string();
  io::write_npy(input, io::from_tensor(at::randn({300, 2})));
  io::write_file(scratch / "c.toml", "[data]\nname = \"" + input +
                                         "\"\nvalidation = 20\n[model]\ns2 = \"full\"\nwidth = 16\n"
                                         "[train]\nsteps = 20\n");
  ASSERT_EQ(run(scratch, "train " + (scratch / "c.toml").string() + " --out " + out).code, 0);
  const Outcome denoise = run(
      scratch, "denoise " + out + " " + input + " --sigma 0.5 --pcs 2 --out " + out + "/denoise");
  ASSERT_EQ(denoise.code, 0) << denoise.output;
  EXPECT_NE(denoise.output.find("mse_denoised"), std::string::npos);
  EXPECT_EQ(denoise.output.find("psnr"), std::string::npos);
  EXPECT_FALSE(fs::exists(scratch / "run/denoise/denoised.png"));
  const Outcome sample =
      run(scratch, "sample " + out + " --sigma 0.5 --steps 5 --out " + out + "/sample");
  EXPECT_EQ(sample.code, 0) << sample.output;
}

TEST(Cli, ScoreOfOrderThree) {
  const Scratch scratch;
  torch::manual_seed(13);
  const std::string input = (scratch / "p.npy").string(), out = (scratch / "run").string();
  io::write_npy(input, io::from_tensor(at::randn({300, 2})));
  io::write_file(scratch / "c.toml", "[data]\nname = \"" + input +
                                         "\"\nvalidation = 20\n[model]\ns3 = \"low_rank\"\n"
                                         "s3_rank = 3\nrank = 2\nwidth = 16\n[train]\n"
                                         "steps = 20\nlearning_rate = 0.05\nema = 0.0\n");
  const std::string config = (scratch / "c.toml").string();
  ASSERT_EQ(run(scratch, "train " + config + " --out " + out).code, 0);
  EXPECT_NE(run(scratch, "info " + out).output.find("s3 "), std::string::npos);
  const at::Tensor direction = at::randn({2}), each = at::randn({300, 2});
  io::write_npy(scratch / "v.npy", io::from_tensor(direction));
  io::write_npy(scratch / "each.npy", io::from_tensor(each));
  const auto score = [&](const std::string& options) {
    const std::string file = (scratch / "s.npz").string();
    const Outcome outcome = run(scratch, "score " + out + " " + input + " --sigma 0.5 --order 3 " +
                                             options + " --out " + file);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    return io::read_npz(file);
  };
  const io::NamedArrays parts = score(""), dense = score("--structure dense");
  EXPECT_EQ(parts.count("s3"), 0u);
  const at::Tensor c = io::to_tensor(parts.at("s3_c")), gamma = io::to_tensor(parts.at("s3_gamma")),
                   w = io::to_tensor(parts.at("s3_w")), s3 = io::to_tensor(dense.at("s3"));
  EXPECT_EQ(w.sizes(), (at::IntArrayRef{300, 2, 3}));
  EXPECT_GT(s3.abs().max().item<double>(), 0);
  const at::Tensor sum =
      at::einsum("bj,bij,bkj,blj->bikl", {gamma, w, w, w}) + at::diag_embed(at::diag_embed(c));
  EXPECT_TRUE(s3.allclose(sum, 1e-4, 1e-6));
  EXPECT_TRUE(io::to_tensor(score("--structure diagonal").at("s3_diagonal"))
                  .allclose(at::einsum("biii->bi", {s3}), 1e-4, 1e-6));
  for (const char* file : {"v.npy", "each.npy"}) {
    const at::Tensor v = file[0] == 'v' ? direction.expand({300, 2}) : each;
    const io::NamedArrays along = score("--direction " + (scratch / file).string());
    EXPECT_EQ(along.count("s3_w"), 0u);
    EXPECT_TRUE(io::to_tensor(along.at("s3_vv"))
                    .allclose(at::einsum("bikl,bk,bl->bi", {s3, v, v}), 1e-4, 1e-5));
    EXPECT_TRUE(io::to_tensor(along.at("s3_vvv"))
                    .allclose(at::einsum("bikl,bi,bk,bl->b", {s3, v, v, v}), 1e-4, 1e-5));
  }
  io::write_npy(scratch / "long.npy", io::from_tensor(at::randn({3})));
  const std::string plain = (scratch / "plain").string();
  ASSERT_EQ(run(scratch, "train " + config + " --set model.s3=none --out " + plain).code, 0);
  struct Case {
    std::string run, options, expected;
  };
  for (const Case& c : {Case{plain, "--order 3", "--order must be at most 2"},
                        Case{out, "--order 4", "--order must be at most 3"},
                        Case{out, "--order 2 --direction v.npy", "--direction needs --order 3"},
                        Case{out, "--order 3 --direction " + (scratch / "long.npy").string(),
                             "--direction must hold [2] or [300, 2]; got [3]"}}) {
    const Outcome outcome = run(scratch, "score " + c.run + " " + input + " --sigma 0.5 " +
                                             c.options + " --out " + (scratch / "o").string());
    EXPECT_EQ(outcome.code, 2) << outcome.output;
    EXPECT_NE(outcome.output.find(c.expected), std::string::npos) << outcome.output;
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
  }
}

TEST(Cli, KilledAndResumedEqualsNeverStopped) {
  const Scratch scratch;
  prepare(scratch);
  const std::string train = "train " + (scratch / "c.toml").string() + " --out ";
  ASSERT_EQ(run(scratch, train + (scratch / "whole").string()).code, 0);
  const std::string binary = command().substr(0, command().size() - 1);
  const std::string config = (scratch / "c.toml").string(), out = (scratch / "killed").string();
  for (int milliseconds : {900, 1100, 1400, 1800}) {
    const pid_t child = fork();
    if (child == 0) {
      freopen("/dev/null", "w", stderr);
      execl(binary.c_str(), "scorejet", "train", config.c_str(), "--out", out.c_str(), "--resume",
            nullptr);
      _exit(127);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  const Outcome last = run(scratch, train + out + " --resume");
  ASSERT_EQ(last.code, 0) << last.output;
  const auto whole = io::read_safetensors(scratch / "whole/checkpoints/last.safetensors");
  const auto killed = io::read_safetensors(scratch / "killed/checkpoints/last.safetensors");
  EXPECT_EQ(whole.metadata.at("step"), killed.metadata.at("step"));
  for (const auto& [key, array] : whole.tensors) {
    EXPECT_EQ(array.bytes, killed.tensors.at(key).bytes) << key;
  }
}

TEST(Cli, BadInputIsOneLineAndTheRightCode) {
  const Scratch scratch;
  prepare(scratch);
  const std::string config = (scratch / "c.toml").string(), out = (scratch / "run").string();
  ASSERT_EQ(
      run(scratch, "train " + config + " --set train.steps=2 --set model.rank=2 --out " + out).code,
      0);
  io::write_npy(scratch / "wrong.npy", io::make_array(io::DType::kFloat32, {3, 5}));
  io::write_npy(scratch / "empty.npy", io::make_array(io::DType::kFloat32, {0, 64}));
  io::NdArray nan = io::make_array(io::DType::kFloat32, {3, 64});
  nan.data<float>()[70] = std::nanf("");
  io::write_npy(scratch / "nan.npy", nan);
  const std::string wrong = (scratch / "wrong.npy").string(),
                    o = " --out " + (scratch / "o").string();
  struct Case {
    std::string arguments, expected;
    int code;
  };
  const std::vector<Case> cases{
      {"", "subcommand", 2},
      {"trane", "did you mean 'train'", 2},
      {"data fech mnist", "did you mean 'fetch'", 2},
      {"data sample two-moon" + o, "nearest: two-moons", 2},
      {"data sample rings --count 0" + o, "--count", 2},
      {"data sample rings --out /no/such/points.npy", "/no/such", 1},
      {"train /no/such.toml" + o, "/no/such.toml", 1},
      {"train " + config + " --set train.bach=3" + o, "train.batch", 2},
      {"train " + config + " --set data.name=mnits" + o, "mnist", 1},
      {"train " + config + " --device cuda:7" + o, "cuda:7", 2},
      {"train " + config + " --out " + out, "already holds a run", 1},
      {"denoise /no/run x.npy --sigma 1" + o, "/no/run", 1},
      {"denoise " + out + " " + wrong + " --sigma 0.5" + o, "D = 64", 2},
      {"denoise " + out + " test --sigma 0" + o, "--sigma must be positive", 2},
      {"denoise " + out + " " + (scratch / "empty.npy").string() + " --sigma 1" + o, "empty", 1},
      {"denoise " + out + " " + (scratch / "nan.npy").string() + " --sigma 1" + o, "row 1", 1},
      {"denoise " + out + " test --sigma 1 --pcs 99" + o, "99", 2},
      {"sample " + out + " --sigma 0.5 --kernel ozaky" + o, "ozaki", 2},
      {"sample " + out + " --sigma 0.5 --kernel ozaki,ozaki" + o, "twice", 2},
      {"reproduce speed --seeds 4" + o, "experiments that repeat (accuracy", 2},
      {"sample banana --sigma 0.1 --kernel langevin --leapfrog 5" + o,
       "--leapfrog must go with --kernel hmc", 2},
      {"sample " + out + " --sigma 0.5 --step-size -1" + o, "--step-size must be > 0", 1},
      {"sample " + out + " --sigma 0.5 --kernel mala" + o, "needs log p", 2},
      {"sample " + wrong + " --sigma 0.5" + o, "--start FILE", 2},
      {"sample " + wrong + " --start " + wrong + " --sigma 0.5" + o, "TorchScript", 1},
      {"sample nowhere --sigma 0.5" + o, "must be a run folder", 2},
      {"sample banana --sigma 0" + o, "--step-size must be given", 2},
      {"sample banana --sigma 0.1 --levels 5" + o, "levels must decrease", 1},
      {"score " + out + " " + wrong + " --sigma 1" + o, "[any, 64]", 2},
      {"info " + (scratch / "").string(), "config.toml", 1}};
  for (const Case& c : cases) {
    const Outcome outcome = run(scratch, c.arguments);
    EXPECT_EQ(outcome.code, c.code) << c.arguments << ": " << outcome.output;
    EXPECT_NE(outcome.output.find(c.expected), std::string::npos) << outcome.output;
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
  }
  for (const char* name : {"", "train", "denoise", "sample", "diagnose", "score", "report", "info",
                           "bench", "data fetch", "data sample"}) {
    const Outcome help = run(scratch, std::string(name) + " --help");
    EXPECT_EQ(help.code, 0);
    EXPECT_NE(help.output.find("Example"), std::string::npos) << name;
  }
}

// A disk that fills up (a limit on file sizes) and folders that cannot be written: one line, and
// what was good stays whole.
TEST(Cli, FailedWritesHarmNothing) {
  const Scratch scratch;
  prepare(scratch);
  const std::string config = (scratch / "c.toml").string(), out = (scratch / "run").string();
  ASSERT_EQ(run(scratch, "train " + config + " --set train.steps=20 --out " + out).code, 0);
  const fs::path checkpoint = scratch / "run/checkpoints/last.safetensors";
  const std::string before = io::read_text(checkpoint);
  const std::string denoise =
      "denoise " + out + " test --sigma 0.5 --pcs 2 --out " + (scratch / "d").string();
  ASSERT_EQ(run(scratch, denoise).code, 0);
  const std::string posterior = io::read_text(scratch / "d/posterior.npz");

  const auto limited = [&](const std::string& arguments) {
    const fs::path log = scratch / "log.txt";  // limit: 16 blocks of 512 or 1024 bytes a file
    const int status = std::system(("bash -c \"trap '' XFSZ; ulimit -f 16; " + command() +
                                    arguments + " >" + log.string() + " 2>&1\"")
                                       .c_str());
    return Outcome{WEXITSTATUS(status), io::read_text(log)};
  };
  const Outcome full = limited(denoise);
  EXPECT_EQ(full.code, 1);
  EXPECT_NE(full.output.find("posterior.npz"), std::string::npos) << full.output;
  EXPECT_EQ(io::read_text(scratch / "d/posterior.npz"), posterior);
  const Outcome train = limited("train " + config + " --set train.steps=40 --resume --out " + out);
  EXPECT_EQ(train.code, 1);
  EXPECT_NE(train.output.find("last.safetensors"), std::string::npos) << train.output;
  EXPECT_EQ(io::read_text(checkpoint), before);
  for (const char* folder : {"run/checkpoints", "d"}) {
    for (const auto& entry : fs::directory_iterator(scratch / folder)) {
      EXPECT_EQ(entry.path().string().find(".tmp"), std::string::npos) << entry.path();
    }
  }
  for (const char* folder : {"/proc/scorejet", "/dev/null/scorejet"}) {
    const Outcome outcome =
        run(scratch, std::string("denoise ") + out + " test --sigma 0.5 --out " + folder);
    EXPECT_EQ(outcome.code, 1);
    EXPECT_NE(outcome.output.find(folder), std::string::npos) << outcome.output;
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
  }
}

// b = sin(2a) and noise. The method has its own tests; here, names, the file and the errors.
TEST(Cli, ResumeWithAnotherModelIsRefused) {
  const Scratch scratch;
  prepare(scratch);
  const std::string config = (scratch / "c.toml").string(), out = (scratch / "run").string();
  ASSERT_EQ(run(scratch, "train " + config + " --set train.steps=10 --out " + out).code, 0);
  const Outcome other =
      run(scratch, "train " + config + " --set model.rank=5 --resume --out " + out);
  EXPECT_NE(other.code, 0);
  EXPECT_NE(other.output.find("rank"), std::string::npos) << other.output;
  EXPECT_EQ(run(scratch, "info " + out).code, 0);  // still what it was
}

}  // namespace
}  // namespace scorejet
