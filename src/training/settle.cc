#include "src/training/settle.h"

#include <fmt/format.h>

#include <algorithm>

namespace scorejet::training {
namespace {

constexpr int64_t kByHeart = 20;  // rows, below which no error bars can be learned

// Whether nobody set it: neither a file nor --set, nor a caller to another value.
bool is_untouched(const RunConfig& config, const std::string& key) {
  RunConfig copy = config, defaults;
  const auto value = [&](RunConfig& of) {
    const base::Settings all = of.settings();
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const base::Setting& one) { return one.key == key; });
    return *std::get<int64_t*>(found->value);
  };
  return !config.given.contains(key) && value(copy) == value(defaults);
}

void change(int64_t& setting, int64_t value, const char* key, const std::string& why,
            std::vector<std::string>& notices) {
  if (setting == value) return;
  notices.push_back(
      fmt::format("{} is {} in place of the default {}: {}", key, value, setting, why));
  setting = value;
}

// Fewer resolutions first, then smaller patches, until they divide the picture.
void settle_stride(RunConfig& config, const std::vector<int64_t>& shape,
                   std::vector<std::string>& notices) {
  const std::string& kind = config.model.network.kind;
  if (kind != "auto" && kind != "unet") return;
  const auto divides = [&](int64_t patch, int64_t levels) {
    const int64_t stride = patch << (levels - 1);
    return shape[1] % stride == 0 && shape[2] % stride == 0;
  };
  nets::UNetOptions& unet = config.model.network.unet;
  int64_t levels = unet.levels, patch = unet.patch;
  if (is_untouched(config, "model.levels")) {
    while (levels > 1 && !divides(patch, levels)) --levels;
  }
  if (is_untouched(config, "model.patch") && !divides(patch, levels)) patch = 1;
  if (!divides(patch, levels)) return;  // refused where the network is made
  const std::string why = fmt::format("the pictures are {} x {}", shape[1], shape[2]);
  change(unet.levels, levels, "model.levels", why, notices);
  change(unet.patch, patch, "model.patch", why, notices);
}

}  // namespace

data::DatasetSplits load_run_data(const RunConfig& config) {
  return data::load_splits(config.data.name, config.data.dir, config.data.validation,
                           is_untouched(config, "data.validation"));
}

std::vector<std::string> settle_defaults(RunConfig& config, const data::DatasetSplits& splits) {
  std::vector<std::string> notices;
  const int64_t held_out = splits.validation.size();
  change(config.data.validation, held_out, "data.validation",
         fmt::format("the data have {} rows", splits.train.size() + held_out), notices);
  if (splits.train.size() < kByHeart) {
    notices.push_back(
        fmt::format("the data have {} rows to train on: so few are learned by heart, and the error "
                    "bars of such "
                    "a run mean nothing",
                    splits.train.size()));
  }
  const int64_t dim = splits.train.dim();
  if (config.model.network.s2 == nets::Structure::kLowRank && is_untouched(config, "model.rank")) {
    change(config.model.network.rank, std::min(config.model.network.rank, dim), "model.rank",
           fmt::format("the data have {} column{}", dim, dim == 1 ? "" : "s"), notices);
  }
  if (splits.train.is_image()) settle_stride(config, splits.train.image_shape, notices);
  return notices;
}

}  // namespace scorejet::training
