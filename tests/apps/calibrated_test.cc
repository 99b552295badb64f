// `scorejet denoise --calibrated` and `--level`: what calibration.json says is what the arrays and
// figures have.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
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

using nlohmann::json;
using testing::Outcome;
using testing::Scratch;
namespace fs = std::filesystem;

constexpr double kLow = 0.03, kHigh = 0.6;  // the sigmas calibrated
constexpr double kGaussian90 = 1.6448536;   // half-width of a Gaussian's 90 % interval

// A tiny run on 8 x 8 images whose first column is black, calibrated at two sigmas, and the same
// run as it was before.
class Calibrated : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new Scratch;
    torch::manual_seed(21);
    at::Tensor images = at::rand({100, 4, 4})
                            .mul(255)
                            .to(at::kByte)
                            .repeat_interleave(2, 1)
                            .repeat_interleave(2, 2);
    images.select(2, 0).zero_();
    io::write_npy(at("x.npy"), io::from_tensor(images));
    io::write_file(at("c.toml"), "[data]\nname = \"" + at("x.npy").string() +
                                     "\"\nvalidation = 20\n[model]\nchannels = 8\nrank = 3\n"
                                     "[train]\nsteps = 20\nbatch = 8\n");
    ASSERT_EQ(run("train " + at("c.toml").string() + " --out " + at("run").string()).code, 0);
    fs::copy(at("run"), at("raw"), fs::copy_options::recursive);
    const Outcome outcome = run("calibrate " + at("run").string() + " --sigma 0.03,0.6");
    ASSERT_EQ(outcome.code, 0) << outcome.output;
  }
  static void TearDownTestSuite() {
    delete scratch_;
    scratch_ = nullptr;
  }
  static fs::path at(const std::string& name) { return *scratch_ / name; }

  static Outcome run(const std::string& arguments) { return testing::run(*scratch_, arguments); }
  // Of at(input) by the run, to at(out).
  static Outcome denoise(const std::string& input, const std::string& options,
                         const std::string& out) {
    return run("denoise " + at("run").string() + " " + at(input).string() + " " + options +
               " --out " + at(out).string());
  }
  static json read_json(const std::string& name) { return json::parse(io::read_text(at(name))); }
  static at::Tensor read(const std::string& file, const char* array) {
    return io::to_tensor(io::read_npz(at(file)).at(array));
  }
  // The correction at a sigma between the two, by the formula of the documentation.
  static double between(double low, double high, double sigma) {
    const double t = std::log(sigma / kLow) / std::log(kHigh / kLow);
    return (1 - t) * low + t * high;
  }
  static double temperature_at(double sigma) {
    const json fitted = read_json("run/calibration.json");
    return std::exp(between(std::log(fitted[0]["temperature"].get<double>()),
                            std::log(fitted[1]["temperature"].get<double>()), sigma));
  }
  static double width_90_at(double sigma) {
    const json fitted = read_json("run/calibration.json");
    EXPECT_EQ(fitted[0]["levels"][2], 0.9);
    return between(fitted[0]["widths"][2], fitted[1]["widths"][2], sigma);
  }
  // lower and upper of a file are mean ± width · standard deviation, to float32's rounding.
  static void expect_intervals(const std::string& file, double width) {
    const at::Tensor mean = read(file, "mean"), reach = width * read(file, "standard_deviation");
    EXPECT_TRUE(read(file, "lower").allclose(mean - reach, 1e-5, 1e-5)) << file;
    EXPECT_TRUE(read(file, "upper").allclose(mean + reach, 1e-5, 1e-5)) << file;
  }
  // Which clean coordinates lie in their intervals.
  static at::Tensor inside(const std::string& file) {
    const at::Tensor clean = read(file, "clean");
    return read(file, "lower").le(clean).logical_and(clean.le(read(file, "upper")));
  }
  static double share(const at::Tensor& is) { return is.to(at::kDouble).mean().item<double>(); }

  static Scratch* scratch_;
};
Scratch* Calibrated::scratch_ = nullptr;

TEST_F(Calibrated, MultipliesCovariancesAndTakesTheFittedWidths) {
  const std::string options = "--sigma 0.6 --pcs 3 --samples 2 --level 0.9";
  const Outcome plain = denoise("x.npy", options, "plain");
  ASSERT_EQ(plain.code, 0) << plain.output;
  const Outcome calibrated = denoise("x.npy", options + " --calibrated", "calibrated");
  ASSERT_EQ(calibrated.code, 0) << calibrated.output;
  const json fitted = read_json("run/calibration.json")[1];
  const double temperature = fitted["temperature"], root = std::sqrt(temperature);
  ASSERT_GT(std::abs(root - 1), 5e-3) << "nothing to see";  // 50 times what is tolerated
  const std::string raw = "plain/posterior.npz", mended = "calibrated/posterior.npz";
  const auto both = [&](const char* array) {
    return std::pair(read(raw, array), read(mended, array));
  };
  for (const char* same : {"clean", "noisy", "mean"}) {
    const auto [a, b] = both(same);
    EXPECT_TRUE(a.equal(b)) << same;
  }
  const auto [sd, sd_mended] = both("standard_deviation");
  EXPECT_TRUE(sd_mended.allclose(root * sd, 1e-5, 0));
  const auto [values, values_mended] = both("eigenvalues");
  EXPECT_TRUE(values_mended.allclose(temperature * values, 1e-4, 0));
  const auto [samples, samples_mended] = both("samples");
  const at::Tensor mean = read(raw, "mean").unsqueeze(1);
  EXPECT_TRUE((samples_mended - mean).allclose(root * (samples - mean), 1e-4, 1e-5));
  expect_intervals(raw, kGaussian90);
  expect_intervals(mended, fitted["widths"][2]);

  // Coverage counts what varies in the 80 training images; the first column does not.
  const at::Tensor train = io::to_tensor(io::read_npy(at("x.npy"))).narrow(0, 0, 80).flatten(1);
  const at::Tensor varies = train.ne(train[0]).any(0);
  ASSERT_EQ(varies.sum().item<int64_t>(), 56);
  const at::Tensor counted = at::nonzero(varies).squeeze(-1);
  const json before = read_json("plain/metrics.json"), after = read_json("calibrated/metrics.json");
  EXPECT_NEAR(after["coverage"], share(inside(mended).index_select(1, counted)), 1e-12);
  EXPECT_NEAR(before["coverage"], share(inside(raw).index_select(1, counted)), 1e-12);
  EXPECT_GT(std::abs(before["coverage"].get<double>() - share(inside(raw))), 1e-4);
  // The raw figures stand beside; an interval's end may round to the other side of a pixel.
  EXPECT_NEAR(after["coverage_raw"], before["coverage"].get<double>(), 1e-3);
  EXPECT_NE(after["coverage_raw"], after["coverage"]);
  const double ratio = before["predicted_variance_over_mse"];
  EXPECT_NEAR(after["predicted_variance_over_mse_raw"], ratio, 1e-5 * ratio);
  EXPECT_NEAR(after["predicted_variance_over_mse"], temperature * ratio, 1e-5 * ratio);
  EXPECT_EQ(after["temperature"], temperature);
  for (const json& metrics : {before, after}) EXPECT_EQ(metrics["level"], 0.9);
  for (const char* key : {"temperature", "coverage_raw", "predicted_variance_over_mse_raw"}) {
    EXPECT_FALSE(before.contains(key)) << key;
  }
  EXPECT_NE(calibrated.output.find("coverage_raw"), std::string::npos) << calibrated.output;
  EXPECT_EQ(run("report " + at("run").string()).code, 0);
}

TEST_F(Calibrated, TakesTheCorrectionBetweenTwoSigmas) {
  const Outcome outcome =
      denoise("x.npy", "--sigma 0.2 --pcs 0 --limit 5 --noisy --calibrated --level 0.9", "between");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const json metrics = read_json("between/metrics.json");
  EXPECT_NEAR(metrics["temperature"], temperature_at(0.2), 1e-12);
  EXPECT_FALSE(metrics.contains("coverage")) << "the clean input is not known";
  expect_intervals("between/posterior.npz", width_90_at(0.2));
  ASSERT_EQ(denoise("x.npy", "--sigma 0.2 --pcs 0 --limit 5 --noisy", "none").code, 0);
  const std::string none = "none/posterior.npz";
  EXPECT_EQ(io::read_npz(at(none)).count("lower"), 0u);
  EXPECT_FALSE(read_json("none/metrics.json").contains("level"));
  EXPECT_TRUE(
      read("between/posterior.npz", "standard_deviation")
          .allclose(std::sqrt(temperature_at(0.2)) * read(none, "standard_deviation"), 1e-5, 0));
}

TEST_F(Calibrated, EachPictureHasTheCorrectionAtItsOwnSigma) {
  torch::manual_seed(22);
  fs::create_directories(at("grain"));
  for (const auto& [name, sigma] : {std::pair{"a", 0.05}, {"b", 0.1}}) {
    const at::Tensor noisy = 0.5 + sigma * at::randn({30, 21, 1});
    io::write_picture(at(std::string("grain/") + name + ".png"),
                      {io::from_tensor((noisy * 65535).clamp(0, 65535).to(at::kInt))});
  }
  const std::string options = "--sigma estimate --pcs 0";
  ASSERT_EQ(denoise("grain", options, "g").code, 0);
  const Outcome outcome = denoise("grain", options + " --calibrated --level 0.9", "gc");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("fitted to images of 8 x 8"), std::string::npos) << outcome.output;
  const json lines = read_json("gc/metrics.json")["files"];
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_GT(std::abs(lines[0]["sigma"].get<double>() - lines[1]["sigma"].get<double>()), 0.03);
  for (const json& line : lines) {
    const double sigma = line["sigma"];
    EXPECT_NEAR(line["temperature"], temperature_at(sigma), 1e-12);
    EXPECT_FALSE(line.contains("coverage"));
    const std::string name = line["file"].get<std::string>().substr(0, 1);
    expect_intervals("gc/" + name + ".npz", width_90_at(sigma));
    EXPECT_EQ(io::read_npz(at("gc/" + name + ".npz")).at("lower").shape,
              (std::vector<int64_t>{1, 30, 21}));
    EXPECT_TRUE(read("gc/" + name + ".npz", "standard_deviation")
                    .allclose(std::sqrt(temperature_at(sigma)) *
                                  read("g/" + name + ".npz", "standard_deviation"),
                              1e-5, 0));
  }
}

TEST_F(Calibrated, PicturesWithNoiseAddedHaveTheirCoverage) {
  torch::manual_seed(23);
  const auto put = [](const std::string& name, at::IntArrayRef shape) {
    fs::create_directories(at(name).parent_path());
    io::write_picture(at(name), {io::from_tensor(at::randint(255, shape).to(at::kByte))});
  };
  put("any/large.png", {9, 12, 1});
  put("own/one.png", {8, 8, 1});
  put("own/two.png", {8, 8, 1});
  for (const std::string folder : {"any", "own"}) {
    const Outcome outcome = denoise(
        folder, "--sigma 0.5 --pcs 2 --samples 1 --calibrated --level 0.9", folder + "_out");
    ASSERT_EQ(outcome.code, 0) << outcome.output;
    const json lines = read_json(folder + "_out/metrics.json")["files"];
    ASSERT_EQ(lines.size(), folder == "any" ? 1u : 2u);
    for (const json& line : lines) {
      const std::string file =
          folder + "_out/" + fs::path(line["file"].get<std::string>()).stem().string() + ".npz";
      expect_intervals(file, width_90_at(0.5));
      EXPECT_NEAR(line["coverage"], share(inside(file)), 1e-12);
      EXPECT_TRUE(line.contains("coverage_raw"));
      EXPECT_TRUE(line.contains("predicted_variance_over_mse_raw"));
    }
  }
  const at::Tensor all = read("own_out/posterior.npz", "lower");
  EXPECT_TRUE(read("own_out/two.npz", "lower").flatten().equal(all[1]));
}

// A network that is right of the first coordinate, N(0, 1) at σ = 1, and whose second has a
// negative variance.
TEST_F(Calibrated, IntervalsOfExactVariancesAndOfNegativeOnes) {
  torch::manual_seed(24);
  constexpr int64_t kCount = 400;
  io::write_npy(at("plane.npy"), io::from_tensor(at::randn({kCount, 2})));
  torch::jit::Module module("Network");
  module.define("def forward(self, x):\n  return x * torch.tensor([0.5, -0.5])\n");
  module.save(at("plane.pt").string());
  const Outcome outcome =
      run("denoise --denoiser " + at("plane.pt").string() + " --predicts clean " +
          at("plane.npy").string() + " --sigma 1 --covariance exact --pcs 0 --level 0.8 --out " +
          at("plane").string());
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("400 of 800 variances are negative: their standard deviations and "
                                "intervals are NaN"),
            std::string::npos)
      << outcome.output;
  const std::string file = "plane/posterior.npz";
  for (const char* array : {"lower", "upper"}) {
    EXPECT_TRUE(read(file, array).select(1, 1).isnan().all().item<bool>()) << array;
    EXPECT_FALSE(read(file, array).select(1, 0).isnan().any().item<bool>()) << array;
  }
  // An interval that is NaN holds nothing. 5 standard errors.
  const double coverage = 2 * read_json("plane/metrics.json")["coverage"].get<double>();
  EXPECT_NEAR(coverage, 0.8, 5 * std::sqrt(0.8 * 0.2 / kCount));
  EXPECT_NEAR(coverage, share(inside(file).select(1, 0)), 1e-12);
}

TEST_F(Calibrated, RefusalsAreOneLine) {
  torch::manual_seed(25);
  const auto path = [](const char* name) { return at(name).string(); };
  ASSERT_EQ(run("train " + path("c.toml") + " --set model.s2=none --set train.steps=2 --out " +
                path("first"))
                .code,
            0);
  fs::copy(at("raw"), at("broken"), fs::copy_options::recursive);
  io::write_file(at("broken/calibration.json"), "[]");
  fs::create_directories(at("faint"));
  const at::Tensor faint = 65535 * (0.5 + 0.01 * at::randn({30, 21, 1}));
  io::write_picture(at("faint/grain.png"), {io::from_tensor(faint.to(at::kInt))});
  fs::create_directories(at("odd"));
  io::write_picture(at("odd/odd.png"),
                    {io::from_tensor(at::randint(255, {9, 7, 1}).to(at::kByte))});
  const std::string x = path("x.npy");
  struct Case {
    std::string arguments, expected;
    int code;
  };
  for (const Case& c :
       {Case{path("raw") + " " + x + " --sigma 0.5 --calibrated",
             path("raw/calibration.json") + " is missing; make it with: scorejet calibrate " +
                 path("raw"),
             1},
        Case{path("broken") + " " + x + " --sigma 0.5 --calibrated",
             path("broken/calibration.json") + " must hold a correction a sigma; got none", 1},
        Case{"--denoiser none.pt --predicts clean " + x + " --sigma 0.5 --calibrated",
             "--calibrated needs a run, and what `scorejet calibrate RUN` fitted to it", 2},
        Case{path("run") + " " + x + " --sigma 0.5 --calibrated --covariance exact",
             "--covariance must be auto; got exact", 2},
        Case{path("run") + " " + x + " --sigma 0.9 --calibrated",
             "sigma must lie where the posterior was calibrated, 0.03 to 0.6; got 0.9", 1},
        Case{path("run") + " " + path("faint") + " --sigma estimate --calibrated",
             "grain.png, sigma estimated: [posterior::interpolate] sigma must lie where", 1},
        Case{path("run") + " " + x + " --sigma 0.5 --calibrated --level 0.3",
             "level must lie between the fitted 0.5 and 0.99; got 0.3", 1},
        Case{path("run") + " " + x + " --sigma 0.5 --level 90",
             "--level must lie between 0 and 1; got 90", 2},
        Case{path("run") + " " + x + " --sigma 0.5 --level nan",
             "--level must lie between 0 and 1; got nan", 2},
        Case{path("first") + " " + x + " --sigma 0.5 --level 0.9", "--level needs a covariance", 2},
        Case{path("first") + " " + path("odd") + " --sigma 0.5 --level 0.9",
             "--level need a run with an s2", 2}}) {
    const Outcome outcome = run("denoise " + c.arguments + " --out " + path("no"));
    EXPECT_EQ(outcome.code, c.code) << c.arguments << ": " << outcome.output;
    EXPECT_NE(outcome.output.find(c.expected), std::string::npos) << outcome.output;
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
    EXPECT_FALSE(fs::exists(at("no"))) << c.arguments;
  }
}

}  // namespace
}  // namespace scorejet
