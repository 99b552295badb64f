// `scorejet denoise` on pictures as people have them: sizes, bits, colour, alpha; what each gets.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "src/io/atomic_file.h"
#include "src/io/npy.h"
#include "src/io/npz.h"
#include "src/io/png.h"
#include "src/io/tensor_bridge.h"
#include "tests/command.h"

namespace scorejet {
namespace {

using testing::Outcome;
using testing::Scratch;
namespace fs = std::filesystem;
using Shape = std::vector<int64_t>;

// Two tiny runs on 8 x 8 images, a grey and a colour one, for all tests of this file.
class Pictures : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new Scratch;
    torch::manual_seed(11);
    for (int64_t channels : {1, 3}) {
      const std::string name = channels == 1 ? "grey" : "colour";
      const at::Tensor coarse = at::rand({100, 4, 4, channels}).mul(255).to(at::kByte);
      io::write_npy(at(name + ".npy"),
                    io::from_tensor(coarse.repeat_interleave(2, 1).repeat_interleave(2, 2)));
      io::write_file(at(name + ".toml"), "[data]\nname = \"" + at(name + ".npy").string() +
                                             "\"\nvalidation = 20\n[model]\nchannels = 8\n"
                                             "rank = 3\n[train]\nsteps = 20\nbatch = 8\n");
      ASSERT_EQ(run("train " + at(name + ".toml").string() + " --out " + at(name).string()).code,
                0);
    }
  }
  static void TearDownTestSuite() {
    delete scratch_;
    scratch_ = nullptr;
  }
  static fs::path at(const std::string& name) { return *scratch_ / name; }

  static Outcome run(const std::string& arguments) { return testing::run(*scratch_, arguments); }
  // Of at(input), to at(out).
  static Outcome denoise(const std::string& model, const std::string& input,
                         const std::string& options, const std::string& out) {
    return run("denoise " + at(model).string() + " " + at(input).string() + " " + options +
               " --out " + at(out).string());
  }
  // A picture at at(name) of random samples, or all of `value`.
  static io::Picture put(const std::string& name, const Shape& size, int bits = 8,
                         bool alpha = false, int64_t value = -1) {
    const int64_t maximum = bits == 8 ? 255 : 65535;
    const auto draw = [&](const Shape& shape) {
      const at::Tensor levels = value >= 0 ? at::full(shape, value) : at::randint(maximum, shape);
      return io::from_tensor(levels.to(bits == 8 ? at::kByte : at::kInt));
    };
    io::Picture picture{draw(size)};
    if (alpha) picture.alpha = draw({size[0], size[1]});
    fs::create_directories(at(name).parent_path());
    io::write_picture(at(name), picture);
    return picture;
  }
  static nlohmann::json metrics(const std::string& out) {
    return nlohmann::json::parse(io::read_text(at(out + "/metrics.json")));
  }

  static Scratch* scratch_;
};
Scratch* Pictures::scratch_ = nullptr;

TEST_F(Pictures, EverySizeBitsAndAlphaInOneFolder) {
  torch::manual_seed(1);
  put("mixed/pixel.png", {1, 1, 3});
  put("mixed/black.png", {6, 9, 3}, 8, false, 0);
  put("mixed/deep.png", {5, 7, 3}, 16);
  const io::Picture clear = put("mixed/clear.PNG", {13, 10, 3}, 8, true);
  const Outcome outcome = denoise("colour", "mixed", "--sigma 0.5 --pcs 4 --samples 2", "m");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  for (const char* name : {"pixel", "black", "deep", "clear"}) {
    const std::string stem = std::string("m/") + name;
    const std::string extension = std::string(name) == "clear" ? ".PNG" : ".png";
    const io::Picture in = io::read_picture(at(std::string("mixed/") + name + extension));
    const io::Picture mean = io::read_picture(at(stem + "_mean.png"));
    const io::Picture sd = io::read_picture(at(stem + "_sd.png"));
    EXPECT_EQ(mean.samples.shape, in.samples.shape) << name;
    EXPECT_EQ(sd.samples.shape, in.samples.shape) << name;
    EXPECT_EQ(mean.bits(), in.bits()) << name;
    EXPECT_EQ(mean.alpha.bytes, in.alpha.bytes) << name;
    EXPECT_FALSE(sd.has_alpha());
    EXPECT_TRUE(fs::exists(at(stem + "_components.png")));
    const io::NamedArrays arrays = io::read_npz(at(stem + ".npz"));
    const int64_t h = in.samples.shape[0], w = in.samples.shape[1],
                  k = std::min<int64_t>(4, 3 * h * w);
    EXPECT_EQ(arrays.at("mean").shape, (Shape{3, h, w}));
    EXPECT_EQ(arrays.at("standard_deviation").shape, (Shape{3, h, w}));
    EXPECT_EQ(arrays.at("eigenvalues").shape, (Shape{1, k}));
    EXPECT_EQ(arrays.at("components").shape, (Shape{1, k, 3, h, w}));
    EXPECT_EQ(arrays.at("samples").shape, (Shape{2, 3, h, w}));
    // The picture is the mean, clipped and rounded; white in that of the deviations is sigma.
    const double maximum = static_cast<double>(in.maximum());
    const auto expect_close = [&](const io::Picture& file, const at::Tensor& unit) {
      const at::Tensor read = io::to_tensor(file.samples).permute({2, 0, 1}).to(at::kDouble);
      EXPECT_LE((read - maximum * unit.to(at::kDouble).clamp(0, 1)).abs().max().item<double>(),
                0.5001 + 1e-6 * maximum)
          << name;
    };
    expect_close(mean, io::to_tensor(arrays.at("mean")));
    expect_close(sd, io::to_tensor(arrays.at("standard_deviation")) / 0.5);
  }
  EXPECT_EQ(clear.alpha.bytes.size(), 130u);
  EXPECT_NE(outcome.output.find("larger than the 8 x 8 trained on"), std::string::npos);
  const nlohmann::json written = metrics("m");
  ASSERT_EQ(written["files"].size(), 4u);
  EXPECT_EQ(written["files"][0]["file"], "black.png");
  for (const auto& line : written["files"]) EXPECT_TRUE(line.contains("psnr_denoised"));
  EXPECT_EQ(run("report " + at("colour").string()).code, 0);
}

// Little noise on black leaves the mean on both sides of 0; the count is that of the arrays.
TEST_F(Pictures, ClippingIsCountedAndSaid) {
  torch::manual_seed(6);
  put("dark.png", {24, 17, 1}, 8, false, 0);
  put("middle.png", {24, 17, 1}, 8, false, 128);
  ASSERT_EQ(denoise("grey", "middle.png", "--sigma 0.05 --pcs 0", "cm").code, 0);
  EXPECT_EQ(metrics("cm")["files"][0]["clipped_mean"], 0.0);
  const Outcome outcome = denoise("grey", "dark.png", "--sigma 0.05 --pcs 0", "cd");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const at::Tensor mean = io::to_tensor(io::read_npz(at("cd/dark.npz")).at("mean"));
  const double expected = (mean * 255 < -0.5).to(at::kDouble).mean().item<double>();
  ASSERT_GT(expected, 0.05);
  EXPECT_NEAR(metrics("cd")["files"][0]["clipped_mean"].get<double>(), expected, 1e-9);
  EXPECT_NE(outcome.output.find("clipped in dark_mean.png"), std::string::npos) << outcome.output;
}

TEST_F(Pictures, OwnSizeGivesTheArraysAndTheFiles) {
  torch::manual_seed(2);
  put("own/a.png", {8, 8, 1});
  put("own/b.png", {8, 8, 1}, 8, true);
  const Outcome outcome = denoise("grey", "own", "--sigma 0.5 --pcs 2 --noisy", "o");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const at::Tensor all = io::to_tensor(io::read_npz(at("o/posterior.npz")).at("mean"));
  EXPECT_EQ(all.sizes(), (at::IntArrayRef{2, 64}));
  for (int64_t i : {0, 1}) {
    const io::NamedArrays one = io::read_npz(at(i == 0 ? "o/a.npz" : "o/b.npz"));
    EXPECT_TRUE(io::to_tensor(one.at("mean")).flatten().equal(all[i]));
    EXPECT_FALSE(one.contains("clean"));
  }
  EXPECT_TRUE(io::read_picture(at("o/b_mean.png")).has_alpha());
  EXPECT_EQ(metrics("o")["files"].size(), 2u);
  // Alone, and through the path of other sizes, it is the same posterior.
  put("own/c.png", {8, 12, 1});
  ASSERT_EQ(denoise("grey", "own", "--sigma 0.5 --pcs 2 --noisy", "o3").code, 0);
  const at::Tensor again = io::to_tensor(io::read_npz(at("o3/a.npz")).at("mean")).flatten();
  EXPECT_TRUE(at::allclose(again, all[0], 1e-4, 1e-5));
}

TEST_F(Pictures, GreyModelTakesColourByChannel) {
  torch::manual_seed(3);
  const at::Tensor colour = io::to_tensor(put("rgb.png", {9, 6, 3}).samples);
  const Outcome outcome =
      denoise("grey", "rgb.png", "--sigma 0.5 --pcs 2 --samples 2 --noisy", "c");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("each channel"), std::string::npos);
  const io::NamedArrays arrays = io::read_npz(at("c/rgb.npz"));
  EXPECT_EQ(arrays.at("components").shape, (Shape{3, 2, 1, 9, 6}));
  EXPECT_EQ(arrays.at("samples").shape, (Shape{2, 3, 9, 6}));
  io::write_picture(at("green.png"), {io::from_tensor(colour.narrow(2, 1, 1))});
  ASSERT_EQ(denoise("grey", "green.png", "--sigma 0.5 --pcs 2 --noisy", "g").code, 0);
  const at::Tensor green = io::to_tensor(io::read_npz(at("g/green.npz")).at("mean"));
  EXPECT_TRUE(at::allclose(io::to_tensor(arrays.at("mean"))[1], green[0], 1e-4, 1e-5));
}

TEST_F(Pictures, SigmaIsEstimated) {
  torch::manual_seed(4);
  const at::Tensor noisy = 0.5 + 0.05 * at::randn({40, 31, 3});
  io::write_picture(at("grain.png"),
                    {io::from_tensor((noisy * 65535).clamp(0, 65535).to(at::kInt))});
  const Outcome outcome = denoise("colour", "grain.png", "--sigma estimate --pcs 0", "e");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const nlohmann::json line = metrics("e")["files"][0];
  EXPECT_NEAR(line["sigma"], 0.05, 0.004);
  EXPECT_EQ(line["sigma_estimated"], true);
  EXPECT_FALSE(line.contains("psnr_noisy"));
  EXPECT_FALSE(fs::exists(at("e/grain_components.png")));
  EXPECT_NE(outcome.output.find("outside what the run was trained on"), std::string::npos);
}

TEST_F(Pictures, RefusalsAreOneLine) {
  torch::manual_seed(5);
  put("bad/good.png", {8, 8, 1});
  const std::string bytes = io::read_text(at("bad/good.png"));
  io::write_file(at("bad/torn.png"), bytes.substr(0, bytes.size() / 2));
  io::write_file(at("text.png"), "not a picture\n");
  put("black.png", {20, 20, 1}, 8, false, 0);
  put("small.png", {5, 7, 1});
  put("grey.png", {9, 9, 1});
  put("twins/a.PNG", {9, 9, 1});
  put("twins/a.png", {9, 9, 1});
  fs::create_directories(at("empty"));
  struct Case {
    const char *model, *input, *sigma, *message;
    int code;
  };
  for (const Case& c :
       {Case{"grey", "bad", "0.5", "torn.png: truncated or corrupt PNG", 1},
        {"grey", "text.png", "0.5", "text.png: not a readable PNG", 1},
        {"grey", "none.png", "0.5", "none.png", 1},
        {"grey", "empty", "0.5", "must hold PNG files", 1},
        {"grey", "black.png", "estimate", "must have noise to remove", 1},
        {"grey", "small.png", "estimate", "at least 8 x 8 pixels", 2},
        {"colour", "grey.png", "0.5", "must have 3 channels, as the run has; it is grey", 2},
        {"grey", "twins", "0.5", "must have a name of its own", 2},
        {"grey", "grey.npy", "estimate", "--sigma estimate needs a run and a PNG", 2},
        {"grey", "grey.png", "much", "must be a number or `estimate`; got much", 2},
        {"grey", "grey.png", "-1", "--sigma must be positive", 2}}) {
    const Outcome outcome = denoise(c.model, c.input, std::string("--sigma ") + c.sigma, "no");
    EXPECT_EQ(outcome.code, c.code) << outcome.output;
    EXPECT_NE(outcome.output.find(c.message), std::string::npos) << outcome.output;
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
    EXPECT_FALSE(fs::exists(at("no"))) << c.input;
  }
  EXPECT_NE(denoise("grey", "bad", "--sigma 0.5", "bad").output.find("another folder"),
            std::string::npos);
}

}  // namespace
}  // namespace scorejet
