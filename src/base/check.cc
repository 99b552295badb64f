#include "src/base/check.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <cmath>
#include <string>
#include <vector>

namespace scorejet::base {
namespace {

std::string describe_shape(at::IntArrayRef shape) {
  std::vector<std::string> sizes;
  for (int64_t size : shape) sizes.push_back(size < 0 ? "any" : std::to_string(size));
  return fmt::format("[{}]", fmt::join(sizes, ", "));
}

}  // namespace

void check_shape(std::string_view where, std::string_view name, const at::Tensor& tensor,
                 at::IntArrayRef shape) {
  if (!tensor.defined()) fail_argument(where, "{} must be defined; got nothing", name);
  bool matches = tensor.dim() == static_cast<int64_t>(shape.size());
  for (size_t i = 0; matches && i < shape.size(); ++i) {
    matches = shape[i] < 0 || tensor.size(static_cast<int64_t>(i)) == shape[i];
  }
  if (!matches) {
    fail_argument(where, "{} must have shape {}; got {}", name, describe_shape(shape),
                  describe_shape(tensor.sizes()));
  }
}

void check_floating(std::string_view where, std::string_view name, const at::Tensor& tensor) {
  if (tensor.scalar_type() != at::kFloat && tensor.scalar_type() != at::kDouble) {
    fail_argument(where, "{} must be float32 or float64; got {}", name,
                  at::toString(tensor.scalar_type()));
  }
}

void check_finite(std::string_view where, std::string_view name, const at::Tensor& tensor) {
  // What is not finite is not so in the sum either; a sum that overflows is looked into.
  if (at::isfinite(tensor.sum()).item<bool>()) return;
  const at::Tensor bad = at::isfinite(tensor).logical_not();
  if (!bad.any().item<bool>()) return;
  if (tensor.dim() == 0) fail_domain(where, "{} must be finite; got {}", name, "NaN or infinity");
  const at::Tensor first = at::nonzero(bad)[0];
  fail_domain(where, "{} must be finite; got NaN or infinity at row {}", name,
              first[0].item<int64_t>());
}

void check_positive(std::string_view where, std::string_view name, const at::Tensor& tensor) {
  const at::Tensor bad = (tensor > 0).logical_not();  // NaN is bad too
  if (!bad.any().item<bool>()) return;
  fail_domain(where, "{} must be positive; got {}", name,
              tensor.masked_select(bad)[0].item<double>());
}

void check_positive(std::string_view where, std::string_view name, double value) {
  if (!(value > 0) || !std::isfinite(value)) {
    fail_domain(where, "{} must be positive and finite; got {}", name, value);
  }
}

void check_like(std::string_view where, std::string_view name, const at::Tensor& tensor,
                std::string_view reference_name, const at::Tensor& reference) {
  if (tensor.scalar_type() != reference.scalar_type() || tensor.device() != reference.device()) {
    fail_argument(where, "{} must be {} on {} like {}; got {} on {}", name,
                  at::toString(reference.scalar_type()), reference.device().str(), reference_name,
                  at::toString(tensor.scalar_type()), tensor.device().str());
  }
}

}  // namespace scorejet::base
