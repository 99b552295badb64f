#include "src/training/flat_parameters.h"

#include <torch/types.h>

#include <set>

#include "src/base/error.h"

namespace scorejet::training {

FlatParameters::FlatParameters(torch::nn::Module& module) {
  int64_t total = 0;
  const auto parameters = module.named_parameters();
  for (const auto& item : parameters) {
    entries_.push_back({item.key(), item.value().sizes().vec(), total});
    total += item.value().numel();
  }
  if (entries_.empty()) {
    base::fail_argument("training::FlatParameters", "the module must have parameters; got none");
  }
  const at::TensorOptions options = parameters.front().value().options().requires_grad(false);
  values_ = at::zeros({total}, options);
  gradients_ = at::zeros({total}, options);
  at::NoGradGuard no_grad;
  for (const Entry& entry : entries_) {
    at::Tensor parameter = parameters[entry.name];
    view(values_, entry).copy_(parameter);
    parameter.set_data(view(values_, entry));
    parameter.mutable_grad() = view(gradients_, entry);
  }
}

at::Tensor FlatParameters::view(const at::Tensor& flat, const Entry& entry) const {
  int64_t count = 1;
  for (int64_t size : entry.shape) count *= size;
  const at::Tensor piece = flat.narrow(0, entry.offset, count);
  if (entry.shape.size() != 4) return piece.view(entry.shape);
  const auto& s = entry.shape;  // out, in, height, width; stored out, height, width, in
  return piece.view({s[0], s[2], s[3], s[1]}).permute({0, 3, 1, 2});
}

std::vector<FlatParameters::Range> FlatParameters::ranges(
    const std::vector<at::Tensor>& parameters) const {
  std::set<int64_t> offsets;
  for (const at::Tensor& parameter : parameters) {
    if (!parameter.is_alias_of(values_)) {
      base::fail_argument("training::FlatParameters",
                          "every parameter must be one of the module's; got another");
    }
    offsets.insert(parameter.storage_offset());
  }
  std::vector<Range> result;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (offsets.count(entries_[i].offset) == 0) continue;
    const int64_t end = i + 1 < entries_.size() ? entries_[i + 1].offset : size();
    if (!result.empty() && result.back().end == entries_[i].offset) {
      result.back().end = end;
    } else {
      result.push_back({entries_[i].offset, end});
    }
  }
  return result;
}

std::vector<std::pair<std::string, at::Tensor>> FlatParameters::unflatten(
    const at::Tensor& flat) const {
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (const Entry& entry : entries_) named.emplace_back(entry.name, view(flat, entry));
  return named;
}

}  // namespace scorejet::training
