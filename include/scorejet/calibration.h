// Whether a posterior can be trusted, and what makes it so: how often its intervals held the truth,
// measured on samples whose clean x is known, and a correction fitted to such samples; the file
// that keeps it with a run. Add a measure of calibration here; what the file holds is
// calibration_file.cc and docs/reference/formats.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <vector>

#include "scorejet/gaussian.h"
#include "scorejet/score_field.h"

namespace scorejet::posterior {

// How N posteriors stood to the N truths, one row a sample. float64.
struct Scores {
  at::Tensor z;            // (x − mean)/sd, coordinate by coordinate, [N, D] (float32)
  at::Tensor z_component;  // vₖ·(x − mean)/√λₖ along the leading K components, [N, K]
  at::Tensor energy;  // share of ‖x − mean‖² inside the leading 1 .. K components, [N, K]
  at::Tensor mahalanobis;  // (x − mean)ᵀ Cov⁻¹ (x − mean)/D, [N]
  at::Tensor log_loss;     // −log N(x; mean, Cov)/D, [N]. Units: nats.
  at::Tensor variance;     // tr Cov/D, [N]
  at::Tensor crps;         // mean over coordinates, [N]
};

// Shapes: clean [N, D]; 0 <= num_components <= D. Errors: as Gaussian's own.
Scores score_posterior(const Gaussian& posterior, const at::Tensor& clean, int64_t num_components);

// The stream of the noise that score_field adds (base::add_row_noise).
constexpr const char* kCalibrationNoise = "calibration noise";

// The same of a field's posteriors at clean + σ z, in blocks of rows; row i draws its z by
// (seed, i). Shapes: clean [N, D]; sigma in units of x. Errors: as ScoreField::evaluate;
// std::invalid_argument for a field without a second order.
Scores score_field(const score::ScoreField& field, const at::Tensor& clean, double sigma,
                   uint64_t seed, int64_t num_components);

Scores concatenate(const std::vector<Scores>& parts);

// Those of the same posteriors with every covariance times `temperature`, by arithmetic; crps,
// which would need the residuals, becomes undefined.
Scores scaled(const Scores& scores, double temperature);

// One number a question; levels are those of intervals.
struct CalibrationSummary {
  std::vector<double> coverage, component_coverage;  // a share a level
  std::vector<double> pit, component_pit;  // shares of kPitBins bins; 1/kPitBins each is best
  double mahalanobis_mean = 0, mahalanobis_sd = 0;  // over D: 1 and √(2/D) for a Gaussian posterior
  std::vector<double> energy;                       // in the leading 1 .. K components
  double sharpness = 0;                             // root of the mean variance, in units of x
  double log_loss = 0;                              // per dimension, nats
  double coverage_error = 0;                        // mean over levels of |coverage − level|
};

constexpr int64_t kPitBins = 20;

// Half-widths of central intervals, one a level, in standard deviations: ±z of a Gaussian.
std::vector<double> gaussian_widths(const std::vector<double>& levels);

// What a posterior's Gaussian shape gets wrong at one σ, made good: its covariance is multiplied by
// `temperature`, and intervals at `levels` take `widths` (coordinates) and `component_widths`, in
// standard deviations of the corrected posterior, in place of a Gaussian's.
struct Recalibration {
  double sigma = 0;
  double temperature = 1;
  std::vector<double> levels, widths, component_widths;
};

// Math: temperature = the mean of mahalanobis, the likeliest scale of a Gaussian. (A posterior that
// is sure of a coordinate and wrong weighs as much in it as in the likelihood: fit it on as many
// samples as there are.) A width is the ⌈(n + 1) level⌉-th smallest of the |z| (split conformal
// prediction), so that intervals on new, exchangeable samples hold the truth at that rate on
// average over coordinates. Shapes:
// counted: bool [D], the coordinates that widths are of; undefined: all. Errors:
// std::invalid_argument for shapes, levels outside (0, 1), fewer samples than a level needs. See:
// Guo et al. 2017 (temperature); Vovk et al. 2005, Lei et al. 2018 (conformal).
Recalibration fit_recalibration(const Scores& scores, double sigma,
                                const std::vector<double>& levels, const at::Tensor& counted = {});

// The correction at a σ between two at which it was fitted, linear in ln σ (ln temperature,
// widths). Errors: std::domain_error outside their range, naming it; std::invalid_argument when
// empty.
Recalibration interpolate(const std::vector<Recalibration>& fitted, double sigma);

// The half-width, in standard deviations, of coordinates at a level between those fitted (linear in
// the Gaussian's own width). Errors: std::domain_error for a level outside them.
double width_at(const Recalibration& recalibration, double level);

// `widths`: of coordinates and components, one a level.
CalibrationSummary summarise(const Scores& scores, const std::vector<double>& levels,
                             const std::vector<double>& widths,
                             const std::vector<double>& component_widths,
                             const at::Tensor& counted = {});

struct CalibrationRecord {
  Recalibration fitted;                // on num_fit samples
  CalibrationSummary raw, calibrated;  // on num_test others
  int64_t num_fit = 0, num_test = 0;
};

struct CalibrateOptions {
  std::vector<double> levels{0.5, 0.8, 0.9, 0.95, 0.99};  // of intervals
  int64_t num_components = 20;                            // leading ones, at most D
  uint64_t seed = 0;        // of the noise on `test`; that on `fit` has the next
  at::Tensor counted = {};  // bool [D], as for fit_recalibration
};

struct Calibration {
  CalibrationRecord record;
  Scores test;  // before the correction
};

// Fits a field's correction at one σ on clean samples `fit` [N, D] and measures it, and what was
// before it, on others, `test`. Errors: as score_field and fit_recalibration.
Calibration calibrate(const score::ScoreField& field, const at::Tensor& fit, const at::Tensor& test,
                      double sigma, const CalibrateOptions& options = {});

// What `scorejet calibrate` leaves with a run, RUN/calibration.json: per σ the correction that
// `denoise --calibrated` applies, and the measured figures with it and without.
// Errors: std::runtime_error naming the file.
void write_calibration(const std::filesystem::path& file,
                       const std::vector<CalibrationRecord>& records);

// The corrections of every σ. Errors: std::runtime_error naming the file: missing (and the command
// that makes it), malformed, or of none.
std::vector<Recalibration> read_recalibrations(const std::filesystem::path& file);

}  // namespace scorejet::posterior
