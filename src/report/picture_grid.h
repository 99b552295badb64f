// Labelled grids of pictures: one row an example, one column a quantity, as in the figures of a
// paper. Change what a column can say here, spacing and letter sizes in picture_grid.cc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "src/io/ndarray.h"
#include "src/report/canvas.h"
#include "src/report/colormap.h"

namespace scorejet::report {

struct GridColumn {
  std::string title;  // above the column: wrapped to two lines, or two lines split by \n
  io::NdArray tiles;  // float32 [N, C, H, W], C 1 or 3
  // For C = 3 the map gives way to the colours themselves, each channel scaled by the range.
  Colormap colormap = Colormap::kGrey;
  // Absent: chosen from the finite values of the whole column: kGrey their minimum and maximum,
  // kSequential 0 to their maximum (the minimum if that is below 0), kDiverging symmetric about 0.
  std::optional<ValueRange> range = {};
};

struct GridOptions {
  int64_t tile_scale = 0;   // pixels a picture pixel; 0: so that the longer side comes near 84
  double text_size = 13;    // pixels, of the font; the title is a third larger
  bool show_legend = true;  // a bar with the range under kSequential and kDiverging columns
};

// Where everything lies, in pixels; the tile of row r and column k covers
// [tile_x[k], tile_x[k] + tile_width) x [tile_y[r], tile_y[r] + tile_height).
struct GridLayout {
  int64_t width = 0, height = 0;
  int64_t tile_scale = 1, tile_width = 0, tile_height = 0;
  std::vector<int64_t> tile_x, tile_y;
  int64_t title_y = 0, header_y = 0, header_lines = 0, legend_y = 0;
  std::vector<ValueRange> ranges;                 // one a column
  std::vector<std::vector<std::string>> headers;  // the lines of each column's title
};

// row_labels: empty, or one a row. title: may be empty.
// Errors: std::invalid_argument: no columns, tiles of another type or shape, columns that differ in
// N, H or W, labels of another number; std::domain_error: a range that is not finite or reversed.
GridLayout plan_picture_grid(const std::vector<GridColumn>& columns,
                             const std::vector<std::string>& row_labels, const std::string& title,
                             const GridOptions& options = {});

Canvas draw_picture_grid(const std::vector<GridColumn>& columns,
                         const std::vector<std::string>& row_labels, const std::string& title,
                         const GridOptions& options = {});

// The same as a file, atomically: .png, .svg or .pdf. Returns the notice of a character that no
// font of this machine has, or "".
std::string write_picture_grid(const std::filesystem::path& path,
                               const std::vector<GridColumn>& columns,
                               const std::vector<std::string>& row_labels, const std::string& title,
                               const GridOptions& options = {});

}  // namespace scorejet::report
