// A score that someone else trained, read from a TorchScript file.
#include "scorejet/torchscript_field.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/script.h>

#include "scorejet/autodiff_field.h"
#include "src/io/atomic_file.h"
#include "tests/scratch.h"

namespace scorejet::score {
namespace {

using testing::error_of;

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

// Products with J of a network with state, call after call: TorchScript's optimiser, which rewrites
// a graph after its first runs, must not come between.
TEST(TorchScript, IsDifferentiableTwiceAndTheSameAtEveryCall) {
  const testing::Scratch scratch;
  torch::manual_seed(61);
  torch::jit::Module module("Denoiser");
  module.register_parameter("weight", 0.3 * at::randn({2, 2, 3, 3}, at::kDouble), false);
  module.define(
      "def forward(self, x):\n  return x + torch.tanh(torch.conv2d(x, self.weight, padding=1))\n");
  const std::string file = (scratch / "network.pt").string();
  module.save(file);
  const TorchScriptField field(
      file, {.predicts = Prediction::kClean, .sample_shape = at::IntArrayRef{2, 4, 4}});
  const at::Tensor x = at::randn({3, 32}, at::kDouble), v = at::randn({3, 32}, at::kDouble);
  const at::Tensor sigma = at::full({}, 0.7, at::kDouble);
  constexpr double kStep = 1e-5;
  const at::Tensor difference =
      (field.evaluate(x + kStep * v, sigma, 1).s1 - field.evaluate(x - kStep * v, sigma, 1).s1) /
      (2 * kStep);
  const at::Tensor s1 = field.evaluate(x, sigma, 1).s1;
  const at::Tensor product = jacobian_vector_product(field, x, sigma, v);
  EXPECT_LT((product - difference).abs().max().item<double>(), 1e-7);
  for (int call = 0; call < 5; ++call) {
    EXPECT_TRUE(field.evaluate(x, sigma, 1).s1.equal(s1)) << call;
    EXPECT_TRUE(jacobian_vector_product(field, x, sigma, v).equal(product)) << call;
  }
  field.probe(x, 0.7, true);
}

// Networks as people leave them: in training mode, in another element type, working in place.
TEST(TorchScript, TakesNetworksAsTheyAre) {
  const testing::Scratch scratch;
  torch::manual_seed(62);
  const at::Tensor x = at::randn({4, 6}), before = x.clone();
  struct Case {
    const char* what;
    at::Tensor scale;  // a parameter, undefined: none
    const char* body;
  };
  const Case cases[] = {
      {"training mode with dropout",
       {},
       "def forward(self, x):\n  return -2 * torch.dropout(x, 0.5, self.training)\n"},
      {"float64", at::full({}, -2.0, at::kDouble).expand({6}).clone(),
       "def forward(self, x):\n  return x * torch.matmul(self.scale, torch.eye(6, "
       "dtype=self.scale.dtype))\n"},
      {"float16", at::full({6}, -2.0, at::kHalf),
       "def forward(self, x):\n  return x * self.scale\n"},
      {"in place", {}, "def forward(self, x, sigma):\n  sigma.mul_(2)\n  return x.mul_(-2)\n"},
      {"a flat output", {}, "def forward(self, x):\n  return -2 * x.view(x.size(0), 6)\n"},
      {"no channel", {}, "def forward(self, x):\n  return -2 * x[:, 0]\n"},
  };
  for (const Case& one : cases) {
    torch::jit::Module module("Denoiser");
    module.register_attribute("training", c10::BoolType::get(), true);
    if (one.scale.defined()) module.register_parameter("scale", one.scale, false);
    module.define(one.body);
    const std::string file = (scratch / "network.pt").string();
    module.save(file);
    const bool plain = one.scale.defined();
    const std::vector<int64_t> shape =
        plain ? std::vector<int64_t>{6} : std::vector<int64_t>{1, 2, 3};
    const TorchScriptField field(file, {.sample_shape = shape});
    field.probe(x, 0.5, true);
    const at::Tensor s1 = field.evaluate(x, 0.5, 1).s1;
    EXPECT_EQ(s1.scalar_type(), at::kFloat) << one.what;
    EXPECT_TRUE(s1.allclose(-2 * before)) << one.what;
    EXPECT_TRUE(x.equal(before)) << one.what;
  }
}

TEST(TorchScript, RefusesWhatIsNotADenoiser) {
  const testing::Scratch scratch;
  const at::Tensor x = at::randn({5, 6});
  EXPECT_THROW(TorchScriptField("nowhere.pt", {.sample_shape = {6}}), std::runtime_error);
  EXPECT_THROW(TorchScriptField(scratch / "", {.sample_shape = {6}}), std::runtime_error);
  const auto text = scratch / "text.pt";
  io::write_file(text, "not a network");
  EXPECT_NE(error_of([&] {
              TorchScriptField(text, {.sample_shape = {6}});
            }).find("must be a TorchScript file"),
            std::string::npos);
  const std::string three =
      write_module(scratch, "three.pt", "def forward(self, x, y, z):\n  return x\n");
  EXPECT_THROW(TorchScriptField(three, {.sample_shape = {6}}), std::invalid_argument);
  EXPECT_THROW(parse_prediction("clear"), std::invalid_argument);
  struct Case {
    const char* body;      // of forward
    const char* expected;  // in the error, beside the file
  };
  const Case cases[] = {
      {"return x[:, :3]", "must return a tensor of x's shape [2, 6]; got [2, 3]"},
      {"return x.sum(0)", "shape [2, 6]; got [6]"},
      {"return torch.zeros([])", "shape [2, 6]; got []"},
      {"return x, x", "got a Tuple[Tensor, Tensor]"},
      {"return 3", "got a int"},
      {"return x > 0", "must return real numbers; got a tensor of Bool"},
      {"return torch.matmul(x, x)", "failed on x [2, 6]: mat1 and mat2 shapes"},
      {"assert x.dim() == 4, 'images only'", "failed on x [2, 6]: AssertionError: images only"},
      {"return torch.conv2d(x, torch.ones(1, 1, 3, 3))",
       "failed on x [2, 6]: Expected 3D (unbatched) or 4D (batched) input"},
      {"x[1, 4] = x[1, 4] / 0.0\n  return x", "inf at row 1, coordinate 4, sigma 0.5"},
      {"return x * float('nan')", "got nan at row 0, coordinate 0"},
      {"return torch.rand_like(x)", "the same output for the same x"},
      {"return x - x.mean(0, keepdim=True)", "each row of a batch alone"},
      {"return x.view(2, 6) * 1.0", "failed on x [1, 6]: shape '[2, 6]' is invalid"},
      {"return x.detach() * 1.0", "must be differentiable in x"},
  };
  for (const Case& one : cases) {
    const std::string file =
        write_module(scratch, "network.pt", fmt::format("def forward(self, x):\n  {}\n", one.body));
    const TorchScriptField field(file, {.sample_shape = {6}});
    const std::string error = error_of([&] { field.probe(x.abs() + 0.1, 0.5, true); });
    EXPECT_NE(error.find(one.expected), std::string::npos) << one.body << ": " << error;
    EXPECT_NE(error.find(file), std::string::npos) << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  }
  // A picture with its axes in another order has as many numbers, and is another picture.
  const std::string turned = write_module(
      scratch, "turned.pt", "def forward(self, x):\n  return x.permute(0, 2, 3, 1) * 1.0\n");
  const TorchScriptField field(turned, {.sample_shape = at::IntArrayRef{2, 1, 3}});
  EXPECT_NE(error_of([&] { field.evaluate(x, 0.5, 1); }).find("got [5, 1, 3, 2]"),
            std::string::npos);
}

}  // namespace
}  // namespace scorejet::score
