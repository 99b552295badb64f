// Files of chains as they are read back: what arrays they may hold, and what is checked. They are
// written in chain_file.cc.

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "scorejet/chains.h"
#include "src/base/error.h"
#include "src/io/npy.h"
#include "src/io/npz.h"
#include "src/io/tensor_bridge.h"

namespace scorejet::sampling {
namespace {

constexpr const char* kReadWhere = "diagnose";
constexpr int64_t kMinDraws = 4;  // below it there is no R-hat

io::NamedArrays read_arrays(const std::filesystem::path& path) {
  io::NamedArrays arrays;
  if (path.extension() == ".npy") {
    arrays["positions"] = io::read_npy(path);
    return arrays;
  }
  arrays = io::read_npz(path);
  if (arrays.size() == 1 && !arrays.contains("positions")) {
    auto only = arrays.extract(arrays.begin());
    only.key() = "positions";
    arrays.insert(std::move(only));
  }
  if (!arrays.contains("positions")) {
    std::vector<std::string> names;
    for (const auto& [name, array] : arrays) names.push_back(name);
    base::fail_runtime(kReadWhere, "{} must hold an array called positions, or one array; got {}",
                       path.string(),
                       names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")));
  }
  return arrays;
}

at::Tensor read_positions(const std::filesystem::path& path, const io::NdArray& array) {
  const auto found = [&] { return io::shape_string(array.shape); };
  const size_t dims = array.shape.size();
  if (dims != 2 && dims != 3) {
    base::fail_runtime(kReadWhere, "{}: positions must be [chains, kept, D] or [kept, D]; got {}",
                       path.string(), found());
  }
  const at::Tensor x = io::to_tensor(array);
  if (x.numel() == 0) {
    base::fail_runtime(kReadWhere, "{}: positions must not be empty; got {}", path.string(),
                       found());
  }
  const at::Tensor chains = dims == 2 ? x.unsqueeze(0) : x;
  return at::isFloatingType(x.scalar_type()) ? chains : chains.to(at::kDouble);
}

// The array called `name` as [size] of `dtype`, or nothing when the file lacks it.
std::optional<at::Tensor> read_optional(const std::filesystem::path& path,
                                        const io::NamedArrays& arrays, const char* name,
                                        int64_t size, at::ScalarType dtype) {
  const auto found = arrays.find(name);
  if (found == arrays.end()) return std::nullopt;
  if (found->second.num_elements() != size || found->second.shape.size() > 1) {
    base::fail_runtime(kReadWhere, "{}: {} must have shape [{}]; got {}", path.string(), name, size,
                       io::shape_string(found->second.shape));
  }
  return io::to_tensor(found->second).reshape({size}).to(dtype);
}

std::vector<int64_t> to_integers(const at::Tensor& x) {
  return {x.data_ptr<int64_t>(), x.data_ptr<int64_t>() + x.numel()};
}

// Times are counted in steps, so the kept positions must be equally far apart.
std::vector<int64_t> read_steps(const std::filesystem::path& path, const io::NamedArrays& arrays,
                                int64_t kept) {
  const auto given = read_optional(path, arrays, "steps", kept, at::kLong);
  const std::vector<int64_t> steps = to_integers(given ? *given : at::arange(kept, at::kLong));
  for (size_t i = 1; i < steps.size(); ++i) {
    const int64_t gap = steps[i] - steps[i - 1];
    if (gap < 1 || gap != steps[1] - steps[0]) {
      base::fail_runtime(kReadWhere, "{}: steps must rise evenly; got {} after {} at index {}",
                         path.string(), steps[i], steps[i - 1], i);
    }
  }
  return steps;
}

}  // namespace

ChainFile read_chains(const std::filesystem::path& path, double burn_in) {
  if (!(burn_in >= 0 && burn_in < 1)) {
    base::fail_argument(kReadWhere, "--burn-in must lie in [0, 1); got {}", burn_in);
  }
  const io::NamedArrays arrays = read_arrays(path);
  const at::Tensor all = read_positions(path, arrays.at("positions"));
  const int64_t num_chains = all.size(0), kept = all.size(1);
  ChainFile file;
  const auto diverged = read_optional(path, arrays, "diverged_at", num_chains, at::kLong);
  for (int64_t c = 0; c < num_chains; ++c) {
    const bool lost = diverged && (*diverged)[c].item<int64_t>() >= 0;
    (lost ? file.diverged : file.chains).push_back(c);
  }
  if (file.chains.empty()) {
    base::fail_runtime(kReadWhere, "{} must hold a chain that did not diverge; all {} did",
                       path.string(), num_chains);
  }
  const std::vector<int64_t> steps = read_steps(path, arrays, kept);
  file.thin = kept > 1 ? steps[1] - steps[0] : 1;
  file.num_dropped =
      std::max<int64_t>(1, std::llround(std::floor(burn_in * static_cast<double>(kept))));
  if (kept - file.num_dropped < kMinDraws) {
    base::fail_runtime(kReadWhere,
                       "{} must leave at least {} positions of each chain; got {}, {} dropped",
                       path.string(), kMinDraws, kept, file.num_dropped);
  }
  file.steps.assign(steps.begin() + file.num_dropped, steps.end());
  const at::Tensor index = at::tensor(file.chains, at::TensorOptions(at::kLong));
  file.positions = all.narrow(1, file.num_dropped, kept - file.num_dropped).index_select(0, index);
  if (const auto a = read_optional(path, arrays, "acceptance", num_chains, at::kDouble)) {
    file.acceptance = a->index_select(0, index);
  }
  if (const auto n = read_optional(path, arrays, "evaluations", 1, at::kLong)) {
    file.num_evaluations = n->item<int64_t>();
  }
  if (const auto s = read_optional(path, arrays, "seconds", 1, at::kDouble)) {
    file.seconds = s->item<double>();
  }
  return file;
}

}  // namespace scorejet::sampling
