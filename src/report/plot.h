// Line and point plots, drawn by gnuplot where it is installed.
// Add a style here; the look of the plots is the script in plot.cc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "src/report/colormap.h"
#include "src/report/figure_format.h"

namespace scorejet::report {

enum class SeriesStyle { kLine, kThinLine, kFaintLine, kMarkedLine };

struct Series {
  std::string label;         // in the key; empty: not in the key
  std::vector<double> x, y;  // equally long; anything not finite is a gap
  SeriesStyle style = SeriesStyle::kLine;
};

struct PlotOptions {
  std::string title, xlabel, ylabel;
  bool key_outside = false;                // right of the plot, for data that fill it
  bool log_x = false, log_y = false;       // values of 0 and below are then gaps too
  int64_t width = 760, height = 400;       // pixels, 100 to 10000
  std::optional<ValueRange> y_range = {};  // absent: all that is drawn; points outside are cut off
};

struct PlotResult {
  bool written = false;
  std::string reason;       // why not, for people; empty when written
  std::string picture;      // the bytes of the file
  int64_t num_dropped = 0;  // points left out because not finite (or not positive on a log axis)
};

// Draws into memory. Whatever gnuplot lacks or says is a reason, not an exception.
// Errors: std::invalid_argument: no series, x and y of different lengths, sizes out of bounds;
// std::domain_error: a y_range that is not finite or not increasing.
PlotResult format_plot(const std::vector<Series>& series, const PlotOptions& options = {},
                       FigureFormat format = FigureFormat::kPng);

// The same into a file, .png, .svg or .pdf, atomically; nothing is written when `written` is false.
PlotResult write_plot(const std::filesystem::path& path, const std::vector<Series>& series,
                      const PlotOptions& options = {});

// One of several plots in a picture; the picture is as wide as the first and as high as all.
struct Panel {
  std::vector<Series> series;
  PlotOptions options = {};
};

// The panels below one another in one file; one without a finite value is left out. As
// write_plot otherwise. Errors: also std::invalid_argument when there is no panel.
PlotResult write_panels(const std::filesystem::path& path, const std::vector<Panel>& panels);

}  // namespace scorejet::report
