// What `scorejet calibrate` leaves with a run, RUN/calibration.json: per σ the correction that
// `denoise --calibrated` applies, and the measured figures with it and without. Change the file's
// fields here and in docs/reference/formats.md.
#pragma once

#include <filesystem>
#include <vector>

#include "src/posterior/calibration.h"

namespace scorejet::posterior {

// Errors: std::runtime_error naming the file.
void write_calibration(const std::filesystem::path& file,
                       const std::vector<CalibrationRecord>& records);

// The corrections of every σ. Errors: std::runtime_error naming the file: missing (and the command
// that makes it), malformed, or of none.
std::vector<Recalibration> read_recalibrations(const std::filesystem::path& file);

}  // namespace scorejet::posterior
