// A score that someone else trained, read from a TorchScript file.
#include "scorejet/score/torchscript_field.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/script.h>

#include "scorejet/io/atomic_file.h"
#include "scorejet/score/autodiff_field.h"
#include "tests/scratch.h"

namespace scorejet::score {
namespace {

// The exact denoiser of N(0, 4 I): E[clean | x] = x 4/(4 + σ²), as images 2 x 3.
std::string write_module(const testing::Scratch& scratch, const std::string& name,
                         const std::string& body) {
  torch::jit::Module module("Denoiser");
  module.define(body);
  const std::string file = (scratch / name).string();
  module.save(file);
  return file;
}

TEST(TorchScript, GivesTheScoreOfEveryKindOfNetwork) {
  const testing::Scratch scratch;
  const at::Tensor x = at::randn({5, 6}, at::kDouble);
  const double sigma = 0.5, variance = 4 + sigma * sigma;
  const at::Tensor expected = -x / variance;
  struct Case {
    const char* predicts;
    const char* body;
  };
  const Case cases[] = {
      {"clean",
       "def forward(self, x, sigma):\n  s = sigma.view(-1, 1, 1)\n  return x * 4 / (4 + s * s)\n"},
      {"score",
       "def forward(self, x, sigma):\n  s = sigma.view(-1, 1, 1)\n  return -x / (4 + s * s)\n"},
      {"noise", "def forward(self, x):\n  return x * (0.5 / 4.25)\n"},
  };
  for (const Case& one : cases) {
    const std::string file = write_module(scratch, "network.pt", one.body);
    const TorchScriptField field(
        file, {.predicts = parse_prediction(one.predicts), .sample_shape = {2, 3}});
    EXPECT_EQ(field.dim(), 6);
    EXPECT_LT((field.evaluate(x, sigma, 1).s1 - expected).abs().max().item<double>(), 1e-12)
        << one.predicts;
    const Jet jet = AutodiffField(field).evaluate(x, sigma, 2);
    const at::Tensor exact = (-at::eye(6, at::kDouble) / variance).expand({5, 6, 6});
    EXPECT_LT((jet.s2->dense() - exact).abs().max().item<double>(), 1e-12);
    EXPECT_THROW(field.evaluate(x, sigma, 2), std::invalid_argument);
  }
}

TEST(TorchScript, RefusesWhatIsNotADenoiser) {
  const testing::Scratch scratch;
  const at::Tensor x = at::randn({5, 6});
  EXPECT_THROW(TorchScriptField("nowhere.pt", {.sample_shape = {6}}), std::runtime_error);
  const auto text = scratch / "text.pt";
  io::write_file(text, "not a network");
  EXPECT_THROW(TorchScriptField(text, {.sample_shape = {6}}), std::runtime_error);
  const std::string three =
      write_module(scratch, "three.pt", "def forward(self, x, y, z):\n  return x\n");
  EXPECT_THROW(TorchScriptField(three, {.sample_shape = {6}}), std::invalid_argument);
  const std::string half =
      write_module(scratch, "half.pt", "def forward(self, x):\n  return x[:, :3]\n");
  const TorchScriptField wrong(half, {.sample_shape = {6}});
  EXPECT_THROW(wrong.evaluate(x, 0.5, 1), std::invalid_argument);
  const std::string failing =
      write_module(scratch, "failing.pt", "def forward(self, x):\n  return torch.matmul(x, x)\n");
  const TorchScriptField fails(failing, {.sample_shape = {6}});
  EXPECT_THROW(fails.evaluate(x, 0.5, 1), std::runtime_error);
  EXPECT_THROW(parse_prediction("clear"), std::invalid_argument);
}

}  // namespace
}  // namespace scorejet::score
