#include "src/base/fast_paths.h"

#include <fmt/ranges.h>

#include <array>
#include <cstdlib>
#include <sstream>

#include "src/base/error.h"

namespace scorejet::base {
namespace {

constexpr auto kNumFastPaths = static_cast<size_t>(FastPath::kCount);

// The paths that `text`, SCOREJET_PLAIN, leaves on.
std::vector<bool> allowed_paths(const char* text) {
  std::vector<bool> allowed(kNumFastPaths, true);
  const std::string given = text == nullptr ? "" : text;
  if (given.empty() || given == "0") return allowed;
  if (given == "1") return std::vector<bool>(kNumFastPaths, false);
  std::istringstream names(given);
  for (std::string name; std::getline(names, name, ',');) {
    bool found = false;
    std::vector<std::string> known;
    for (const FastPathInfo& info : fast_paths()) {
      known.emplace_back(info.name);
      if (name != info.name) continue;
      allowed[static_cast<size_t>(info.path)] = false;
      found = true;
    }
    if (!found) {
      fail_argument("base::fast_paths",
                    "SCOREJET_PLAIN must be 1 or names of {}; got \"{}\" (nearest: \"{}\")",
                    fmt::format("{}", fmt::join(known, ", ")), name, nearest(name, known));
    }
  }
  return allowed;
}

struct AllSwitches {
  std::array<FastPathSwitch, kNumFastPaths> all{};

  AllSwitches() {
    const std::vector<bool> allowed = allowed_paths(std::getenv("SCOREJET_PLAIN"));
    for (size_t i = 0; i < kNumFastPaths; ++i) all[i].on = allowed[i];
  }
};

}  // namespace

const std::vector<FastPathInfo>& fast_paths() {
  static const std::vector<FastPathInfo> list{
      {FastPath::kHessianLoss, "hessian-loss", "objectives::hessian_loss, _antithetic",
       "hessian_loss_plain", "low rank, float32, CPU"},
      {FastPath::kBoundedFactor, "bounded-factor", "models::bounded_factor", "bounded_factor_plain",
       "float32, CPU, no gradient in the scale"},
      {FastPath::kPixelMaps, "pixel-maps", "nets::pixels_of", "pixels_of_plain",
       "maps in float32 on the CPU, channels last or one after another"},
      {FastPath::kMixedMaps, "mixed-maps", "nets::mixed_maps", "mixed_maps_plain",
       "maps in float32 on the CPU, channels last or one after another"},
      {FastPath::kDirectLinear, "direct-linear", "nets::direct_linear", "at::linear",
       "any; adds to a leaf's gradient in place"},
      {FastPath::kPointwise, "pointwise", "a U-Net's 1 x 1 convolutions", "torch::nn::Conv2d",
       "float32, CPU, LibTorch with oneDNN"},
      {FastPath::kRowSquares, "row-squares", "linalg::row_squares", "row_squares_plain",
       "float32, CPU, no gradient"},
      {FastPath::kAdamStep, "adam-step", "training::adam_step", "adam_step_plain",
       "flat float32 buffers on the CPU"},
      {FastPath::kRangeNorm, "range-norm", "training::range_norm", "range_norm_plain",
       "flat float32 buffers on the CPU"},
      {FastPath::kKrylov, "krylov", "linalg::apply_functions of diagonal plus low rank",
       "the same in tensor operations", "CPU"},
      {FastPath::kEigenpairs, "eigenpairs", "linalg::top_eigenpairs of diagonal plus low rank",
       "Lanczos in tensor operations", "CPU"}};
  return list;
}

FastPathSwitch& fast_path_switch(FastPath path) {
  static AllSwitches switches;
  return switches.all[static_cast<size_t>(path)];
}

bool fast(FastPath path) {
  FastPathSwitch& own = fast_path_switch(path);
  if (!own.on.load(std::memory_order_relaxed)) return false;
  own.taken.fetch_add(1, std::memory_order_relaxed);
  return true;
}

}  // namespace scorejet::base
