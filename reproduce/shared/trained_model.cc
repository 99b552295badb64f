#include "reproduce/shared/trained_model.h"

#include <fmt/format.h>

#include "scorejet/run.h"
#include "src/base/error.h"
#include "src/base/terminal_listener.h"
#include "src/training/checkpoint.h"
#include "src/training/run_folder.h"

namespace scorejet::reproduce {
namespace {

std::string describe(const training::RunConfig& config) {
  return fmt::format("{} at sigma {:g} to {:g}, s2 {}", config.data.name, config.noise.sigma,
                     config.noise.sigma_max, nets::structure_name(config.model.network.s2));
}

}  // namespace

int64_t prepare_model(const training::RunConfig& config, const std::filesystem::path& folder) {
  const auto checkpoint = folder / "checkpoints" / "last.safetensors";
  const bool begun = std::filesystem::exists(checkpoint);
  if (begun) {
    const std::string found = describe(training::read_config(folder / "config.toml"));
    if (found != describe(config)) {
      base::fail_runtime("reproduce::prepare_model", "{} must hold a run of {}; got one of {}",
                         folder.string(), describe(config), found);
    }
  }
  if (!begun ||
      training::checkpoint_number(checkpoint, "step") < static_cast<double>(config.train.steps)) {
    training::train(
        config,
        {.out = folder, .resume = begun, .device = "cpu", .listener = base::terminal_listener()});
  }
  return static_cast<int64_t>(training::checkpoint_number(checkpoint, "step"));
}

}  // namespace scorejet::reproduce
