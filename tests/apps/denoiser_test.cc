// Anyone's denoiser through the command: `denoise --denoiser`, and `train` on top of one; files
// made with LibTorch and with python3-torch.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/utils.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "src/io/atomic_file.h"
#include "src/io/npy.h"
#include "src/io/npz.h"
#include "src/io/tensor_bridge.h"
#include "tests/command.h"

namespace scorejet {
namespace {

using testing::Outcome;
using testing::run;
using testing::Scratch;
namespace fs = std::filesystem;

at::Tensor read(const fs::path& file, const char* array) {
  return io::to_tensor(io::read_npz(file).at(array));
}

// A Gaussian of the plane, of variances 4 and 1/4 about zero: E[clean | x] = x v/(v + σ²), and its
// posterior covariance diag(v σ²/(v + σ²)).
constexpr double kVariances[] = {4, 0.25};
double posterior_variance(int i, double sigma) {
  return kVariances[i] * sigma * sigma / (kVariances[i] + sigma * sigma);
}

// 200 points of it, and networks that know it: of everything a network may give.
void prepare_denoiser(const Scratch& scratch) {
  torch::manual_seed(71);
  const at::Tensor scale = at::tensor({2.0F, 0.5F});
  io::write_npy(scratch / "x.npy", io::from_tensor(scale * at::randn({200, 2})));
  struct Network {
    const char* name;
    const char* result;
  };
  for (const Network& network :
       {Network{"score", "-x / (v + s)"}, Network{"clean", "x * v / (v + s)"},
        Network{"noise", "x * torch.sqrt(s) / (v + s)"}}) {
    torch::jit::Module module("Gaussian");
    module.define(fmt::format(R"(
def forward(self, x, sigma):
  v = torch.tensor([4.0, 0.25])
  s = (sigma * sigma).unsqueeze(1)
  return {}
)",
                              network.result));
    module.save((scratch / (std::string(network.name) + ".pt")).string());
  }
}

TEST(Denoiser, GivesMeanAndComponentsOfEveryKindOfNetwork) {
  const Scratch scratch;
  prepare_denoiser(scratch);
  const std::string input = (scratch / "x.npy").string(), out = (scratch / "out").string();
  for (const char* kind : {"score", "clean", "noise"}) {
    const Outcome outcome = run(
        scratch, fmt::format("denoise --denoiser {} --predicts {} --sigma 0.5 {} --out {}",
                             (scratch / (std::string(kind) + ".pt")).string(), kind, input, out));
    ASSERT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_NE(outcome.output.find("no standard deviation"), std::string::npos) << outcome.output;
    const fs::path file = scratch / "out/posterior.npz";
    const at::Tensor noisy = read(file, "noisy"), v = at::tensor({4.0F, 0.25F});
    EXPECT_TRUE(read(file, "mean").allclose(noisy * v / (v + 0.25), 1e-4, 1e-5)) << kind;
    const at::Tensor values = read(file, "eigenvalues"), components = read(file, "components");
    EXPECT_EQ(values.sizes(), (at::IntArrayRef{200, 2}));
    for (int i : {0, 1}) {
      EXPECT_TRUE(values.select(1, i).allclose(
          at::full({200}, posterior_variance(i, 0.5), at::kFloat), 1e-3, 0))
          << kind;
    }
    EXPECT_TRUE(components.abs().allclose(at::eye(2).expand({200, 2, 2}), 0, 1e-3)) << kind;
    EXPECT_EQ(io::read_npz(file).count("standard_deviation"), 0u);
    const auto metrics = nlohmann::json::parse(io::read_text(scratch / "out/metrics.json"));
    EXPECT_EQ(metrics["covariance"], "subspace");
    EXPECT_EQ(metrics["predicts"], kind);
    EXPECT_FALSE(metrics.contains("num_negative_variances"));
    EXPECT_LT(metrics["mse_denoised"], metrics["mse_noisy"]);
  }
}

TEST(Denoiser, ExactCovarianceGivesDeviationsAndSamples) {
  const Scratch scratch;
  prepare_denoiser(scratch);
  const Outcome outcome =
      run(scratch,
          fmt::format("denoise --denoiser {} --predicts clean --sigma 0.5 {} --covariance exact "
                      "--samples 400 --pcs 1 --out {}",
                      (scratch / "clean.pt").string(), (scratch / "x.npy").string(),
                      (scratch / "out").string()));
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_EQ(outcome.output.find("note"), std::string::npos) << outcome.output;
  const fs::path file = scratch / "out/posterior.npz";
  const at::Tensor deviation = read(file, "standard_deviation");
  const at::Tensor drawn = (read(file, "samples") - read(file, "mean").unsqueeze(1))
                               .square()
                               .mean(at::IntArrayRef{0, 1});
  for (int i : {0, 1}) {
    const double exact = posterior_variance(i, 0.5);
    EXPECT_TRUE(deviation.select(1, i).square().allclose(at::full({200}, exact, at::kFloat), 1e-3));
    // 80,000 squares of normal numbers, at five standard errors.
    EXPECT_NEAR(drawn[i].item<double>(), exact, 5 * exact * std::sqrt(2 / 80000.0));
  }
  const auto metrics = nlohmann::json::parse(io::read_text(scratch / "out/metrics.json"));
  EXPECT_EQ(metrics["num_negative_variances"], 0);
  EXPECT_LT(metrics["negative_part"].get<double>(), 1e-6);
}

TEST(Denoiser, TrainsAnS2OnTopOfANetworkAndUsesTheRunAsAnyOther) {
  const Scratch scratch;
  prepare_denoiser(scratch);
  const std::string out = (scratch / "run").string(), input = (scratch / "x.npy").string();
  io::write_file(scratch / "c.toml",
                 fmt::format("[data]\nname = \"{}\"\nvalidation = 50\n[s1]\nfrom = \"{}\"\n"
                             "predicts = \"clean\"\n[model]\nrank = 2\nwidth = 16\n[train]\n"
                             "steps = 20\n",
                             input, (scratch / "clean.pt").string()));
  const Outcome train = run(scratch, "train " + (scratch / "c.toml").string() + " --out " + out);
  ASSERT_EQ(train.code, 0) << train.output;
  fs::remove(scratch / "clean.pt");
  for (const std::string& arguments :
       {"info " + out, "report " + out,
        "denoise " + out + " test --sigma 0.5 --samples 2 --out " + out + "/denoise",
        "denoise " + out + " " + input + " --sigma 0.5 --covariance exact --out " + out + "/exact",
        "score " + out + " " + input + " --sigma 0.5 --out " + out + "/s.npz",
        "sample " + out + " --kernel langevin,ozaki --sigma 0.5 --steps 5 --out " + out + "/sample",
        "train " + out + "/config.toml --set train.steps=30 --resume --out " + out}) {
    const Outcome outcome = run(scratch, arguments);
    EXPECT_EQ(outcome.code, 0) << arguments << ": " << outcome.output;
  }
  EXPECT_NE(run(scratch, "info " + out).output.find("clean.pt"), std::string::npos);
  // Both s1 are the file's; the learned covariance is not the exact one yet.
  const fs::path learned = scratch / "run/denoise/posterior.npz",
                 exact = scratch / "run/exact/posterior.npz";
  const at::Tensor v = at::tensor({4.0F, 0.25F});
  for (const fs::path& file : {learned, exact}) {
    EXPECT_TRUE(read(file, "mean").allclose(read(file, "noisy") * v / (v + 0.25), 1e-4, 1e-5));
  }
  EXPECT_NEAR(read(exact, "standard_deviation")[0][0].item<double>(),
              std::sqrt(posterior_variance(0, 0.5)), 1e-3);
}

TEST(Denoiser, BadUseAndBadNetworksAreOneLine) {
  const Scratch scratch;
  prepare_denoiser(scratch);
  const auto network = [&](const char* name, const char* body) {
    torch::jit::Module module("Network");
    module.define(body);
    module.save((scratch / name).string());
  };
  network("late.pt", "def forward(self, x):\n  return torch.where(x > 4, x / (x - x), x * 0.5)\n");
  network("half.pt", "def forward(self, x):\n  return x[:, :1]\n");
  network("large.pt", "def forward(self, x):\n  return x * 0.9\n");
  io::write_npy(scratch / "large.npy", io::from_tensor(at::randn({2, 9000})));
  at::Tensor late = at::zeros({250, 2});
  late[213][1] = 9;
  io::write_npy(scratch / "late.npy", io::from_tensor(late));
  io::write_file(scratch / "text.pt", "not a network");
  const auto path = [&](const char* name) { return (scratch / name).string(); };
  const std::string x = path("x.npy"),
                    clean = "--denoiser " + path("clean.pt") + " --predicts clean ",
                    tail = " --sigma 0.5 --out " + path("out");
  struct Case {
    std::string arguments, expected;
    int code;
  };
  const std::vector<Case> cases{
      {x, "RUN and INPUT, or --denoiser FILE.pt and INPUT", 2},
      {"", "", 2},
      {clean + path("run") + " " + x, "with --denoiser only INPUT", 2},
      {clean + path("a") + " b " + x, "", 2},
      {"--denoiser " + path("clean.pt") + " " + x, "--denoiser requires --predicts", 2},
      {"--predicts clean " + path("run") + " " + x, "--predicts requires --denoiser", 2},
      {"--denoiser " + path("clean.pt") + " --predicts clear " + x, "score, clean or noise", 2},
      {"--denoiser " + path("none.pt") + " --predicts clean " + x, "none.pt: no such file", 1},
      {"--denoiser " + path("text.pt") + " --predicts clean " + x, "TorchScript", 1},
      {"--denoiser " + path("half.pt") + " --predicts clean " + x, "shape [2, 2]; got [2, 1]", 2},
      {"--denoiser " + path("late.pt") + " --predicts clean " + path("late.npy") + " --pcs 0",
       "late.pt must give finite means; got inf at sample 213, coordinate 1", 1},
      {"--denoiser " + path("large.pt") + " --predicts clean " + path("large.npy") +
           " --covariance exact",
       "at most 1024 MiB a sample; got 1235 MiB for D = 9000", 2},
      {clean + "test", "`test` is a run's own test set", 2},
      {clean + x + " --covariance full", "auto, subspace or exact", 2},
      {clean + x + " --samples 2", "--samples needs a covariance", 2},
      {clean + x + " --pcs 3", "3", 2},
      {clean + x + " --pcs -1", "--pcs", 2},
      {clean + path("none.npy"), "none.npy", 1}};
  for (const Case& c : cases) {
    const Outcome outcome = run(scratch, "denoise " + c.arguments + tail);
    EXPECT_EQ(outcome.code, c.code) << c.arguments << ": " << outcome.output;
    EXPECT_NE(outcome.output.find(c.expected), std::string::npos) << outcome.output;
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
    EXPECT_EQ(outcome.output.find("Traceback"), std::string::npos) << outcome.output;
  }
  // A kind that it is not shows in the mean.
  const Outcome wrong =
      run(scratch, "denoise --denoiser " + path("clean.pt") + " --predicts score " + x + tail);
  EXPECT_NE(wrong.output.find("is --predicts score right"), std::string::npos) << wrong.output;
}

// A python with torch, "" where there is none: the user's own, or that of python3-torch.
std::string python() {
  for (const char* name : {"python3", "/usr/bin/python3"}) {
    if (std::system((std::string(name) + " -c 'import torch' >/dev/null 2>&1").c_str()) == 0) {
      return name;
    }
  }
  return "";
}

// A small convolutional network of 1 x 8 x 8 images and σ, with a batch norm, in training mode,
// scripted and traced, as people have them.
TEST(Denoiser, TakesScriptedAndTracedNetworksOfPython) {
  const std::string interpreter = python();
  if (interpreter.empty()) GTEST_SKIP() << "python3 has no torch (python3-torch)";
  const Scratch scratch;
  torch::manual_seed(72);
  io::write_npy(scratch / "x.npy", io::from_tensor(at::rand({3, 1, 8, 8})));
  io::write_file(scratch / "make.py", R"(
import sys, torch
from torch import nn
class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.last, self.drop = nn.Conv2d(6, 1, 3, padding=1), nn.Dropout(0.5)
    def forward(self, x, sigma):
        noise = sigma.log().view(-1, 1, 1, 1).expand(-1, 1, x.size(2), x.size(3))
        h = torch.relu(self.norm(self.first(torch.cat([x, noise], 1))))
        return 0.5 * x + 0.1 * self.last(self.drop(h))
torch.manual_seed(0)
network, sigma = Denoiser(), torch.full([4], 0.5)
torch.jit.script(network).save(sys.argv[1] + '/scripted.pt')
network.eval()
torch.jit.trace(network, (torch.rand(4, 1, 8, 8), sigma)).save(sys.argv[1] + '/traced.pt')
import struct
x = torch.zeros(12, 1, 8, 8)
with torch.no_grad(): y = network(x, torch.full([12], 0.5))
open(sys.argv[1] + '/y.bin', 'wb').write(struct.pack('64f', *y[0].flatten().tolist()))
)");
  ASSERT_EQ(std::system(fmt::format("{} {} {} >/dev/null 2>&1", interpreter,
                                    (scratch / "make.py").string(), (scratch / "").string())
                            .c_str()),
            0);
  io::write_npy(scratch / "zero.npy", io::from_tensor(at::zeros({12, 1, 8, 8})));
  const std::string expected = io::read_text(scratch / "y.bin");
  const at::Tensor y = at::from_blob(const_cast<char*>(expected.data()), {64}, at::kFloat).clone();
  for (const char* name : {"scripted", "traced"}) {
    const std::string network = fmt::format("--denoiser {}/{}.pt --predicts clean --sigma 0.5 ",
                                            (scratch / "").string(), name);
    const std::string out = " --out " + (scratch / name).string();
    const Outcome zero = run(
        scratch, "denoise " + network + (scratch / "zero.npy").string() + " --noisy --pcs 0" + out);
    ASSERT_EQ(zero.code, 0) << zero.output;
    // What python says of the same network, of the same picture.
    EXPECT_TRUE(
        read(scratch / (std::string(name) + "/posterior.npz"), "mean")[0].allclose(y, 0, 1e-6))
        << name;
    const Outcome outcome =
        run(scratch, "denoise " + network + (scratch / "x.npy").string() + " --pcs 1" + out);
    ASSERT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_EQ(io::read_npz(scratch / (std::string(name) + "/posterior.npz")).at("components").shape,
              (std::vector<int64_t>{3, 1, 64}));
    EXPECT_TRUE(fs::exists(scratch / (std::string(name) + "/denoised.png")));
    const Outcome exact = run(scratch, "denoise " + network + (scratch / "x.npy").string() +
                                           " --covariance exact --samples 1 --limit 1" + out);
    EXPECT_EQ(exact.code, 0) << exact.output;
  }
}

}  // namespace
}  // namespace scorejet
