#include "src/base/fast_paths.h"

#include <fmt/ranges.h>

#include <array>
#include <atomic>
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

std::vector<bool>& allowed_now() {
  static std::vector<bool> allowed = allowed_paths(std::getenv("SCOREJET_PLAIN"));
  return allowed;
}

std::array<std::atomic<int64_t>, kNumFastPaths>& path_uses() {
  static std::array<std::atomic<int64_t>, kNumFastPaths> uses{};
  return uses;
}

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

bool fast(FastPath path) {
  const auto index = static_cast<size_t>(path);
  if (!allowed_now()[index]) return false;
  path_uses()[index].fetch_add(1, std::memory_order_relaxed);
  return true;
}

int64_t fast_uses(FastPath path) { return path_uses()[static_cast<size_t>(path)].load(); }

PlainForms::PlainForms(FastPath path) : before_(allowed_now()) {
  for (size_t i = 0; i < kNumFastPaths; ++i) {
    if (path == FastPath::kCount || i == static_cast<size_t>(path)) allowed_now()[i] = false;
  }
}

PlainForms::~PlainForms() { allowed_now() = before_; }

}  // namespace scorejet::base
