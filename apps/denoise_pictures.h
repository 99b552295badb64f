// Denoising pictures of any size, colour and bit depth: what is read of them, and the files that
// each gets. Called by denoise.cc, which keeps what all inputs have in common.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "apps/error_bars.h"
#include "scorejet/data/dataset.h"
#include "scorejet/posterior/denoise.h"
#include "scorejet/training/run_folder.h"

namespace scorejet::apps {

struct PictureOptions {
  std::filesystem::path input, out;  // a PNG or a folder of them; the folder to write
  double sigma = 0;                  // of the noise; unused where it is estimated
  bool estimate = false;             // from each picture, which is then noisy already
  bool noisy = false;                // already; otherwise noise is added
  int64_t components = 0, samples = 0;
  int64_t limit = 0;  // first pictures only; 0: all
  uint64_t seed = 0;
  ErrorBarOptions error_bars;
};

struct PictureFile {
  std::filesystem::path path;
  std::vector<int64_t> shape;  // {channels, height, width}
  double sigma = 0;            // as given, or estimated
  ErrorBars error_bars;        // at that sigma
};

// Whether the input is a .png or a folder.
bool holds_pictures(const std::filesystem::path& input);

// Reads every picture once, so that whatever is wrong with one stops the command before the work.
// Errors: std::runtime_error for files, std::invalid_argument for pictures that the run's model
// cannot take, std::domain_error for an estimate of no noise, or a sigma that was not calibrated.
std::vector<PictureFile> inspect_pictures(const training::Run& run, const PictureOptions& options);

// Whether all have the shape that the run was trained on.
bool all_of_run(const training::Run& run, const std::vector<PictureFile>& files);

// Those files as one set, values in [0, 1].
data::Dataset load_pictures(const std::vector<PictureFile>& files);

// Denoises each on its own; writes its files and metrics.json.
void denoise_pictures(const training::Run& run, const std::vector<PictureFile>& files,
                      const PictureOptions& options);

// Writes the files of pictures denoised as one batch: row i is files[i]; clean may be undefined.
// Returns their lines for metrics.json.
nlohmann::ordered_json write_pictures(const std::vector<PictureFile>& files,
                                      const PictureOptions& options, const at::Tensor& clean,
                                      const at::Tensor& noisy, const posterior::Posterior& result);

}  // namespace scorejet::apps
