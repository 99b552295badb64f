// Denoising samples with uncertainty, to a folder: what `scorejet denoise` does. Add an array or a
// figure of a batch in denoise.cc, one of a picture in denoise_pictures.cc; what is denoised with
// is denoiser.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/base/listener.h"
#include "src/tasks/denoise_errors.h"
#include "src/tasks/denoiser.h"
#include "src/tasks/error_bars.h"

namespace scorejet::tasks {

struct DenoiseOptions {
  DenoiserRequest denoiser = {};
  ErrorBarOptions error_bars = {};
  std::string input;  // a file, a folder of PNGs, a data set's name, or `test`: the run's own
  std::filesystem::path out;  // folder to write, made where it is not
  double sigma = 0;           // noise level of the input, > 0
  bool estimate = false;      // sigma from each picture, which is noisy already
  bool noisy = false;         // the input is noisy already; otherwise noise is added
  bool baseline = false;      // also the best fixed components, of a PCA of residuals
  int64_t components = -1;    // principal components a sample; < 0: 20, or all there are
  int64_t samples = 0;        // posterior samples a sample
  int64_t limit = 0;          // first samples only; 0: all
  uint64_t seed = 0;
  std::string command = {};  // for the record in metrics.json
};

// One PNG.
struct PictureReport {
  std::string file;
  int64_t channels = 0, height = 0, width = 0;
  int bits = 0;
  bool alpha = false;
  double sigma = 0;  // as given, or estimated
  bool sigma_estimated = false;
  std::optional<double> psnr_noisy = {}, psnr_denoised = {};  // where the clean one is known
  ErrorBarFigures error_bars = {};
  double clipped_mean = 0;                // share of the mean's samples outside [0, 1]
  std::optional<double> clipped_sd = {};  // share of the standard deviations above sigma
  double eigen_residual = 0;              // of one denoised alone
  bool eigen_converged = true;
};

struct DenoiseReport {
  // What is in posterior.npz; undefined where pictures were denoised one by one.
  DenoisedInput input;
  posterior::Posterior posterior;
  posterior::Interval interval;
  std::vector<std::pair<std::string, double>> figures;  // the numbers of metrics.json; likewise
  std::vector<PictureReport> pictures;                  // of an input of PNGs
  bool stopped = false;                                 // by the listener
};

// Writes posterior.npz, metrics.json and, of images, denoised.png; for each PNG NAME_mean.png,
// NAME_sd.png, NAME_components.png and NAME.npz. PNGs that are not all of the run's own size, or
// have a sigma each, are denoised one by one: then there are only their files and metrics.json.
// Progress: task "denoise", in samples. Stopped by the listener, a batch leaves no file; pictures
// one by one leave those that were done, and no metrics.json. Notices: what a reader of the files
// must know. Errors: std::invalid_argument and std::domain_error naming the option,
// std::runtime_error naming the file; all that can be wrong with the input comes before any work.
DenoiseReport denoise(DenoiseOptions options, const base::Listener& listener = {});

}  // namespace scorejet::tasks
