// Denoising pictures of any size, colour and bit depth: what is read of them, and the files that
// each gets. Called by denoise.cc, which keeps what all inputs have in common.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <vector>

#include "scorejet/tasks.h"
#include "src/io/png.h"
#include "src/tasks/error_bars.h"

namespace scorejet::tasks {

struct PictureFile {
  std::filesystem::path path;
  std::vector<int64_t> shape;  // {channels, height, width}
  double sigma = 0;            // as given, or estimated
  ErrorBars error_bars;        // at that sigma
  std::optional<io::Picture>
      picture;  // kept where it is of the run's own size; others may be large
};

// Whether the input is a .png or a folder.
bool holds_pictures(const std::filesystem::path& input);

// Reads every picture once, so that whatever is wrong with one stops the task before the work.
// Errors: std::runtime_error for files, std::invalid_argument for pictures that the run's model
// cannot take, std::domain_error for an estimate of no noise, or a sigma that was not calibrated.
std::vector<PictureFile> inspect_pictures(const training::Run& run, const DenoiseOptions& options,
                                          const base::Listener& listener);

// Whether all have the shape that the run was trained on.
bool all_of_run(const training::Run& run, const std::vector<PictureFile>& files);

// Those files, all of the run's own size, as one set, values in [0, 1].
data::Dataset load_pictures(const std::vector<PictureFile>& files);

// Denoises each on its own, with so many components and samples each (options.components >= 0);
// writes its files and metrics.json.
DenoiseReport denoise_pictures(const training::Run& run, const std::vector<PictureFile>& files,
                               const DenoiseOptions& options, const base::Listener& listener);

// Writes the files of pictures denoised as one batch: row i is files[i]; input.clean may be
// undefined.
std::vector<PictureReport> write_pictures(const std::vector<PictureFile>& files,
                                          const DenoiseOptions& options, const DenoisedInput& input,
                                          const posterior::Posterior& result,
                                          const base::Listener& listener);

// Its line in metrics.json.
nlohmann::ordered_json to_json(const PictureReport& report);

}  // namespace scorejet::tasks
