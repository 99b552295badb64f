// The layout and drawing of picture grids. Spacing, letter sizes and the legend are decided here.
#include "src/report/picture_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/base/error.h"

namespace scorejet::report {
namespace {

constexpr int64_t kMargin = 14;
constexpr int64_t kTileGap = 8;
constexpr int64_t kTextGap = 8;       // between texts and tiles
constexpr int64_t kLegendHeight = 7;  // the bar alone
constexpr int64_t kGoodTileSide = 84;
constexpr size_t kHeaderLines = 2;
constexpr double kLabelShare = 0.87;  // size of row labels and legends against the column titles
constexpr double kTitleShare = 1.34;

void check_columns(const std::vector<GridColumn>& columns,
                   const std::vector<std::string>& row_labels, const GridOptions& options) {
  constexpr const char* kWhere = "report::picture_grid";
  if (columns.empty()) base::fail_argument(kWhere, "columns must not be empty; got none");
  const std::vector<int64_t>& first = columns[0].tiles.shape;
  for (const GridColumn& column : columns) {
    const std::vector<int64_t>& shape = column.tiles.shape;
    if (column.tiles.dtype != io::DType::kFloat32 || shape.size() != 4 ||
        (shape[1] != 1 && shape[1] != 3) || std::min({shape[0], shape[2], shape[3]}) < 1) {
      base::fail_argument(
          kWhere, "the tiles of \"{}\" must be float32 [N, 1 or 3, H, W]; got {} {}", column.title,
          io::dtype_name(column.tiles.dtype), io::shape_string(shape));
    }
    if (column.tiles.bytes.size() !=
        static_cast<size_t>(column.tiles.num_elements()) * sizeof(float)) {
      base::fail_argument(kWhere, "the tiles of \"{}\" must have the bytes of {}; got {} bytes",
                          column.title, io::shape_string(shape), column.tiles.bytes.size());
    }
    if (shape[0] != first[0] || shape[2] != first[2] || shape[3] != first[3]) {
      base::fail_argument(
          kWhere, "the tiles of \"{}\" must have the N, H and W of \"{}\", {}; got {}",
          column.title, columns[0].title, io::shape_string(first), io::shape_string(shape));
    }
  }
  if (!row_labels.empty() && static_cast<int64_t>(row_labels.size()) != first[0]) {
    base::fail_argument(kWhere, "row_labels must be empty or one a row, {}; got {}", first[0],
                        row_labels.size());
  }
  if (options.tile_scale < 0 || options.tile_scale > 64) {
    base::fail_argument(kWhere, "tile_scale must lie in 0..64; got {}", options.tile_scale);
  }
}

ValueRange column_range(const GridColumn& column) {
  if (column.range) {
    position_in(*column.range, 0);  // throws for a range that makes no sense
    return *column.range;
  }
  double low = std::numeric_limits<double>::infinity(), high = -low;
  const float* values = column.tiles.data<float>();
  for (int64_t i = 0; i < column.tiles.num_elements(); ++i) {
    if (!std::isfinite(values[i])) continue;
    low = std::min<double>(low, values[i]);
    high = std::max<double>(high, values[i]);
  }
  if (low > high) return {0, 1};  // nothing finite
  const double largest = std::max(std::abs(low), std::abs(high));
  switch (column.colormap) {
    case Colormap::kSequential:
      return {std::min(low, 0.0), std::max(high, 0.0)};
    case Colormap::kDiverging:
      return {-largest, largest};
    case Colormap::kGrey:
      break;
  }
  return {low, high};
}

bool has_legend(const GridColumn& column, const GridOptions& options) {
  return options.show_legend && column.colormap != Colormap::kGrey;
}

// Two significant digits: all that fits below a tile.
std::string legend_number(double value) { return fmt::format("{:.2g}", value + 0.0); }

int64_t legend_width(ValueRange range, double text_size) {
  return measure_text(legend_number(range.min), text_size).width + kTextGap +
         measure_text(legend_number(range.max), text_size).width;
}

int64_t line_height(double size) { return measure_text("", size).height; }

// The [H, W, 3] colours of one tile.
io::NdArray color_tile(const GridColumn& column, ValueRange range, int64_t row) {
  const int64_t channels = column.tiles.shape[1];
  const int64_t height = column.tiles.shape[2], width = column.tiles.shape[3];
  const int64_t plane = height * width;
  const float* values = column.tiles.data<float>() + row * channels * plane;
  io::NdArray tile = io::make_array(io::DType::kUInt8, {height, width, 3});
  uint8_t* out = tile.data<uint8_t>();
  for (int64_t i = 0; i < plane; ++i) {
    Color color;
    if (channels == 1) {
      color = map_value(column.colormap, values[i], range);
    } else {
      color = {map_value(Colormap::kGrey, values[i], range).red,
               map_value(Colormap::kGrey, values[plane + i], range).red,
               map_value(Colormap::kGrey, values[2 * plane + i], range).red};
    }
    *out++ = color.red;
    *out++ = color.green;
    *out++ = color.blue;
  }
  return tile;
}

void draw_legend(Canvas& canvas, const GridColumn& column, ValueRange range, int64_t x, int64_t y,
                 int64_t width, double text_size) {
  const Colormap colormap = column.tiles.shape[1] == 3 ? Colormap::kGrey : column.colormap;
  for (int64_t i = 0; i < width; ++i) {
    const double position = (static_cast<double>(i) + 0.5) / static_cast<double>(width);
    canvas.fill(x + i, y, 1, kLegendHeight, map_position(colormap, position));
  }
  canvas.frame(x, y, width, kLegendHeight, kHairline);
  const std::string high = legend_number(range.max);
  const int64_t text_y = y + kLegendHeight + 3;
  canvas.draw_text(x, text_y, legend_number(range.min), text_size, kFaintInk);
  canvas.draw_text(x + width - measure_text(high, text_size).width, text_y, high, text_size,
                   kFaintInk);
}

// The title's own lines, or one that is wrapped to the column's width.
std::vector<std::string> header_lines(const std::string& title, double size, int64_t tile_width) {
  const size_t split = title.find('\n');
  if (split == std::string::npos) {
    return wrap_text(title, size, tile_width + kTileGap, kHeaderLines);
  }
  return {title.substr(0, split), title.substr(split + 1)};
}

// From left to right: labels, then one cell a column, as wide as its tile, its title and its legend
// need.
void plan_across(GridLayout& layout, const std::vector<GridColumn>& columns,
                 const std::vector<std::string>& row_labels, const std::string& title,
                 const GridOptions& options) {
  const double label_size = options.text_size * kLabelShare;
  int64_t labels_width = 0;
  for (const std::string& label : row_labels) {
    labels_width = std::max(labels_width, measure_text(label, label_size).width);
  }
  int64_t x = kMargin + (labels_width > 0 ? labels_width + kTextGap : 0);
  for (const GridColumn& column : columns) {
    const ValueRange range = column_range(column);
    layout.headers.push_back(header_lines(column.title, options.text_size, layout.tile_width));
    int64_t cell = layout.tile_width;
    for (const std::string& line : layout.headers.back()) {
      cell = std::max(cell, measure_text(line, options.text_size).width);
    }
    if (has_legend(column, options)) cell = std::max(cell, legend_width(range, label_size));
    layout.tile_x.push_back(x + (cell - layout.tile_width) / 2);
    layout.ranges.push_back(range);
    layout.header_lines =
        std::max(layout.header_lines, static_cast<int64_t>(layout.headers.back().size()));
    x += cell + kTileGap;
  }
  layout.width = x - kTileGap + kMargin;
  if (!title.empty()) {
    layout.width = std::max(
        layout.width, measure_text(title, options.text_size * kTitleShare).width + 2 * kMargin);
  }
}

// From top to bottom: title, column titles, rows, legends.
void plan_down(GridLayout& layout, const std::vector<GridColumn>& columns, const std::string& title,
               const GridOptions& options) {
  int64_t y = kMargin;
  layout.title_y = y;
  if (!title.empty()) y += line_height(options.text_size * kTitleShare) + kTextGap;
  layout.header_y = y;
  if (layout.header_lines > 0) y += layout.header_lines * line_height(options.text_size) + 2;
  for (int64_t row = 0; row < columns[0].tiles.shape[0]; ++row) {
    layout.tile_y.push_back(y);
    y += layout.tile_height + kTileGap;
  }
  layout.legend_y = y + 2;
  if (std::any_of(columns.begin(), columns.end(),
                  [&](const GridColumn& column) { return has_legend(column, options); })) {
    y = layout.legend_y + kLegendHeight + 3 + line_height(options.text_size * kLabelShare) +
        kTileGap;
  }
  layout.height = y - kTileGap + kMargin;
}

}  // namespace

GridLayout plan_picture_grid(const std::vector<GridColumn>& columns,
                             const std::vector<std::string>& row_labels, const std::string& title,
                             const GridOptions& options) {
  check_columns(columns, row_labels, options);
  const std::vector<int64_t>& shape = columns[0].tiles.shape;
  GridLayout layout;
  const int64_t side = std::max(shape[2], shape[3]);
  layout.tile_scale = options.tile_scale > 0
                          ? options.tile_scale
                          : std::max<int64_t>(1, (kGoodTileSide + side / 2) / side);
  layout.tile_width = shape[3] * layout.tile_scale;
  layout.tile_height = shape[2] * layout.tile_scale;
  plan_across(layout, columns, row_labels, title, options);
  plan_down(layout, columns, title, options);
  return layout;
}

Canvas draw_picture_grid(const std::vector<GridColumn>& columns,
                         const std::vector<std::string>& row_labels, const std::string& title,
                         const GridOptions& options) {
  const GridLayout layout = plan_picture_grid(columns, row_labels, title, options);
  const double label_size = options.text_size * kLabelShare;
  Canvas canvas(layout.width, layout.height);
  canvas.draw_text(kMargin, layout.title_y, title, options.text_size * kTitleShare);

  for (size_t k = 0; k < columns.size(); ++k) {
    const int64_t centre = layout.tile_x[k] + layout.tile_width / 2;
    const std::vector<std::string>& lines = layout.headers[k];
    // Titles of one line sit just above their tiles.
    int64_t y = layout.header_y + (layout.header_lines - static_cast<int64_t>(lines.size())) *
                                      line_height(options.text_size);
    for (const std::string& line : lines) {
      canvas.draw_text(centre - measure_text(line, options.text_size).width / 2, y, line,
                       options.text_size);
      y += line_height(options.text_size);
    }
    for (size_t row = 0; row < layout.tile_y.size(); ++row) {
      canvas.frame(layout.tile_x[k] - 1, layout.tile_y[row] - 1, layout.tile_width + 2,
                   layout.tile_height + 2, kHairline);
      canvas.blit(color_tile(columns[k], layout.ranges[k], static_cast<int64_t>(row)),
                  layout.tile_x[k], layout.tile_y[row], layout.tile_scale);
    }
    if (has_legend(columns[k], options)) {
      const int64_t width = std::max(layout.tile_width, legend_width(layout.ranges[k], label_size));
      draw_legend(canvas, columns[k], layout.ranges[k], centre - width / 2, layout.legend_y, width,
                  label_size);
    }
  }
  for (size_t row = 0; row < row_labels.size(); ++row) {
    const TextExtent extent = measure_text(row_labels[row], label_size);
    // Set flush right against the tiles, a little low because capitals fill the upper part.
    const int64_t y = layout.tile_y[row] + (layout.tile_height - extent.height) / 2 + 1;
    int64_t right = layout.tile_x[0] - kTextGap;
    for (int64_t x : layout.tile_x) right = std::min(right, x - kTextGap);
    canvas.draw_text(std::max(kMargin, right - extent.width), y, row_labels[row], label_size,
                     kFaintInk);
  }
  return canvas;
}

std::string write_picture_grid(const std::filesystem::path& path,
                               const std::vector<GridColumn>& columns,
                               const std::vector<std::string>& row_labels, const std::string& title,
                               const GridOptions& options) {
  figure_format(path);  // before the work
  const Canvas canvas = draw_picture_grid(columns, row_labels, title, options);
  canvas.save(path);
  return canvas.notice();
}

}  // namespace scorejet::report
