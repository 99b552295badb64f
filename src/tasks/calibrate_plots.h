// The pictures of `scorejet calibrate`. Add one in draw_calibration().
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "scorejet/calibration.h"
#include "scorejet/listener.h"

namespace scorejet::tasks {

// Writes coverage.png, pit.png and, where there are components, energy.png of one record or more, a
// curve a sigma; returns their entries for metrics.json. Notices: a plot that could not be drawn.
nlohmann::ordered_json draw_calibration(const std::vector<posterior::CalibrationRecord>& records,
                                        const std::filesystem::path& out,
                                        const base::Listener& listener);

}  // namespace scorejet::tasks
