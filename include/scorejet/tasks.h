// What each command of scorejet does, as a function: options and a Listener in, a report out. They
// parse nothing and print nothing. Add a figure to a report in the task's own file,
// src/tasks/NAME.cc; training is run.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "scorejet/calibration.h"
#include "scorejet/chains.h"
#include "scorejet/listener.h"
#include "scorejet/posterior.h"

namespace scorejet::tasks {

// ---- denoise: denoising samples with uncertainty, to a folder

struct DenoiserRequest {
  std::string run = {};             // a run folder, or empty:
  std::string file = {};            // a TorchScript file, and
  std::string predicts = {};        // what it gives: score, clean or noise
  std::string covariance = "auto";  // auto, subspace or exact
  std::string device = "auto";
};

struct ErrorBarOptions {
  bool calibrated = false;
  std::optional<double> level = {};  // of intervals; none: no intervals
  std::vector<posterior::Recalibration> fitted =
      {};  // where calibrated: open_error_bars() reads it
};

// Of error bars and, where the clean x is known, of how they stood to it; with and without (raw)
// the correction.
struct ErrorBarFigures {
  std::optional<double> temperature, level;
  std::optional<double> variance_over_mse, variance_over_mse_raw;  // predicted over squared error
  std::optional<double> coverage, coverage_raw;  // share of clean coordinates in their intervals
};

// What was denoised: clean and noisy [N, D]; clean is undefined where it is not known.
struct DenoisedInput {
  at::Tensor clean, noisy;
  double sigma = 0;
};

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

// ---- calibrate: whether a run's error bars can be trusted, measured on held-out data, and the
// correction that makes them so

struct CalibrateOptions {
  std::filesystem::path run;        // folder
  std::filesystem::path out = {};   // of plots and metrics.json; empty: RUN/calibration
  std::string device = "auto";      // auto, cpu, cuda or cuda:N
  std::vector<double> sigmas = {};  // noise levels; empty: the run's own, or five over its range
  int64_t components = 20;          // leading components measured, at most D; 0: none
  int64_t limit = 1000;             // samples to fit on and to measure on; 0: all
  uint64_t seed = 0;                // of the noise
  std::string command = {};         // for the record in metrics.json
};

struct CalibrateReport {
  std::vector<posterior::CalibrationRecord> records;  // one a sigma
  std::filesystem::path file;                         // RUN/calibration.json
  bool stopped = false;                               // by the listener: nothing was written
};

// Writes RUN/calibration.json, and metrics.json and plots to `out`. Progress: task "calibrate", in
// sigmas. Notices: a sigma that the run was not trained for; a plot that could not be drawn.
// Errors: std::invalid_argument naming the option; std::runtime_error for files and too few
// held-out samples.
CalibrateReport calibrate(CalibrateOptions options, const base::Listener& listener = {});

// ---- score: scores at points of a user's, to one file

struct ScoreOptions {
  std::filesystem::path run;     // folder
  std::filesystem::path points;  // NPY, NPZ or CSV, rows are points
  std::filesystem::path out;     // NPZ to write
  std::string structure = {};    // of s2 and s3: dense, diagonal, low_rank; empty: the model's
  std::string direction = {};    // NPY of v, [D] or [N, D]: s3[v, v] and s3[v, v, v] in place of s3
  std::string device = "auto";   // auto, cpu, cuda or cuda:N
  double sigma = 0;              // noise level, > 0
  int order = 2;                 // 1, 2 or 3
};

using ScoreArrays = std::map<std::string, at::Tensor>;  // by their names in the file

// Writes s1; s2 as s2 (dense), s2_diagonal, or s2_a and s2_b; s3 as s3, s3_diagonal, or s3_c,
// s3_gamma and s3_w, or s3_vv and s3_vvv of a direction (docs/formats.md); returns what it wrote.
// Nothing is written, and nothing returned, where the listener asks to stop.
// Notices: a guess in reading the points; a sigma that the run was not trained for.
// Errors: std::invalid_argument naming the option; std::runtime_error naming the file.
ScoreArrays score(const ScoreOptions& options, const base::Listener& listener = {});

// ---- sample: Markov chains on p_sigma, or generation from noise, to a folder

struct TargetRequest {
  std::string name;                // run folder, density or file
  std::string predicts = "score";  // TorchScript: score, clean or noise
  std::string start = {};          // a file of starting points, or empty
  std::string init = "data";       // data or noise, where `start` is empty
  std::string device = "auto";     // of a run
  double sigma = 0;
  int64_t chains = 8;
  uint64_t seed = 0;
  int order = 1;  // of the scores that will be asked for
};

struct SampleOptions {
  TargetRequest target = {};
  std::filesystem::path out;                  // folder to write, made where it is not
  std::vector<std::string> kernels{"ozaki"};  // from the same starts and noise
  double step_size = 0;  // ε, > 0 (with levels: in units of σ²); 0: the kernel's default
  double sigma_max = 0;  // first level; 0: the target's own
  int64_t steps = 100;   // of each chain, or at each level
  int64_t warmup = 0;    // steps before, not kept, in which adjusted kernels adapt ε
  int64_t thin = 0;      // every thin-th position is kept; 0: about 50 in all
  int64_t levels = 0;    // generation down a ladder of so many levels, >= 2; 0: chains
  std::map<std::string, double> kernel_options = {};  // by name; each kernel takes its own
  bool resume = false;                                // go on from what lies in `out`
  std::string command = {};                           // for the record in metrics.json
};

struct KernelReport {
  std::string name;
  double step_size = 0;           // median over the chains
  int64_t num_evaluations = 0;    // of the score, over all chains
  int64_t num_diverged = 0;       // chains
  int64_t num_bounded_steps = 0;  // chain-steps at which Ozaki's bound was in force
  int64_t num_chain_steps = 0;
  int64_t max_krylov_steps = 0;
  double seconds = 0;
  int64_t resumed_from = -1;  // the step that was gone on from, or -1
  std::string stopped;        // for people: which chains were stopped; "" when none was
};

struct SampleReport {
  std::vector<KernelReport> kernels;
  bool stopped = false;  // by the listener, in the last of them
};

// Writes chains.npz (chains_KERNEL.npz where there are several) or samples.npz, metrics.json and,
// of images, course.png or samples.png. Progress: each kernel is a task. Stopped by the
// listener, or killed, chains can be gone on with (resume); generation begins anew. Errors:
// std::invalid_argument, std::domain_error and std::runtime_error naming the option or the file.
SampleReport sample(SampleOptions options, const base::Listener& listener = {});

// ---- diagnose: whether chains have converged and what their draws are worth

struct DiagnoseOptions {
  std::filesystem::path file;             // as sampling::read_chains() takes it
  std::filesystem::path out = {};         // folder to write; empty: that of the file
  std::filesystem::path reference = {};   // a sample to measure the energy distance to
  std::filesystem::path modes = {};       // centres of modes, a row each
  std::vector<int64_t> coordinates = {};  // up to 4 to plot; empty: those of the least bulk ESS
  double burn_in = 0.1;                   // share of the positions to drop first
  std::string command = {};               // for the record in diagnostics.json
};

struct DiagnoseColumn {
  const char* name;    // in diagnostics.json
  const char* title;   // in a table
  at::Tensor values;   // [D]
  bool tells_quality;  // of the chains, not of what they sample
};

struct Quantiles {
  double min = NAN, median = NAN, max = NAN;
};
Quantiles quantiles(const at::Tensor& values);  // of those that are not NaN

struct Acceptance {
  double mean = 0, min = 0, max = 0;  // over chains
};

struct SampleComparison {
  double distance = 0, coefficient = 0;  // sampling::EnergyDistance
  int64_t num_draws = 0, num_reference = 0;
};

// How the chains share their time between modes, each draw in that of the nearest centre.
struct ModeVisits {
  std::vector<double> fractions;
  double entropy = 0;
  int64_t num_transitions = 0;
};

struct DiagnoseReport {
  sampling::ChainFile chains;
  std::vector<DiagnoseColumn> columns;
  std::vector<int64_t> worst;  // coordinates from the smallest bulk ESS up
  std::optional<Acceptance> acceptance;
  std::optional<Quantiles> ess_per_1000_evaluations, ess_per_second;  // bulk ESS of coordinates
  std::optional<SampleComparison> reference;
  std::optional<ModeVisits> modes;
  std::filesystem::path out;
};

// Writes diagnostics.json, trace.png, rank.png and autocorrelation.png. Notices: a plot that could
// not be drawn. Errors: as sampling::read_chains(); std::invalid_argument for coordinates;
// std::runtime_error naming a file that does not fit.
DiagnoseReport diagnose(const DiagnoseOptions& options, const base::Listener& listener = {});

}  // namespace scorejet::tasks
