// Drawing on pixels. Change the smoothing of letters in draw_text, the clipping in fill and blit.
#include "scorejet/report/canvas.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "scorejet/base/error.h"
#include "scorejet/io/png.h"
#include "scorejet/report/font.h"

namespace scorejet::report {
namespace {

constexpr int64_t kMaxPixels = int64_t{1} << 28;

// Distance from p to the segment a-b, pixels.
double segment_distance(GlyphPoint p, GlyphPoint a, GlyphPoint b) {
  const double dx = b.x - a.x, dy = b.y - a.y;
  const double length2 = dx * dx + dy * dy;
  const double along =
      length2 > 0 ? std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / length2, 0.0, 1.0) : 0.0;
  return std::hypot(p.x - a.x - along * dx, p.y - a.y - along * dy);
}

// Units from the left edge of a line of text to its right edge, half a pen at each end.
double text_units(std::string_view drawable) {
  double units = 2 * kStrokeRadius;
  for (size_t i = 0; i < drawable.size(); ++i) {
    units += glyph_of(drawable[i]).width + (i > 0 ? kGlyphGap : 0.0);
  }
  return drawable.empty() ? 0.0 : units;
}

void check_size(double size) {
  if (!(size > 0) || size > 100) {
    base::fail_domain("report::draw_text", "size must lie in (0, 100]; got {}", size);
  }
}

}  // namespace

TextExtent measure_text(std::string_view text, double size) {
  check_size(size);
  return {static_cast<int64_t>(std::ceil(text_units(drawable_text(text)) * size)),
          static_cast<int64_t>(std::ceil(kLineHeight * size))};
}

std::vector<std::string> wrap_text(std::string_view text, double size, int64_t max_width,
                                   size_t max_lines) {
  std::vector<std::string> lines;
  const std::string drawable = drawable_text(text);
  for (size_t begin = 0; begin < drawable.size();) {
    const size_t end = std::min(drawable.find(' ', begin), drawable.size());
    const std::string word = drawable.substr(begin, end - begin);
    begin = end + 1;
    if (word.empty()) continue;
    const bool last_line = lines.size() >= max_lines;
    const std::string joined = lines.empty() ? word : lines.back() + " " + word;
    if (!lines.empty() && (last_line || measure_text(joined, size).width <= max_width)) {
      lines.back() = joined;
    } else {
      lines.push_back(word);
    }
  }
  return lines;
}

Canvas::Canvas(int64_t width, int64_t height, Color background) : width_(width), height_(height) {
  if (width < 1 || height < 1 || width > kMaxPixels / height) {
    base::fail_argument("report::Canvas",
                        "a picture must have 1 to {} pixels; got width {} and height {}",
                        kMaxPixels, width, height);
  }
  image_ = io::make_array(io::DType::kUInt8, {height, width, 3});
  fill(0, 0, width, height, background);
}

Color Canvas::pixel(int64_t x, int64_t y) const {
  if (x < 0 || y < 0 || x >= width_ || y >= height_) {
    base::fail_argument("report::Canvas::pixel",
                        "the pixel must lie inside {} x {}; got x = {}, y = {}", width_, height_, x,
                        y);
  }
  const uint8_t* at = image_.data<uint8_t>() + (y * width_ + x) * 3;
  return {at[0], at[1], at[2]};
}

void Canvas::fill(int64_t x, int64_t y, int64_t width, int64_t height, Color color) {
  const int64_t right = std::min(x + width, width_), bottom = std::min(y + height, height_);
  const int64_t left = std::max<int64_t>(x, 0);
  for (int64_t row = std::max<int64_t>(y, 0); row < bottom; ++row) {
    uint8_t* at = image_.data<uint8_t>() + (row * width_ + left) * 3;
    for (int64_t column = left; column < right; ++column) {
      *at++ = color.red;
      *at++ = color.green;
      *at++ = color.blue;
    }
  }
}

void Canvas::frame(int64_t x, int64_t y, int64_t width, int64_t height, Color color) {
  fill(x, y, width, 1, color);
  fill(x, y + height - 1, width, 1, color);
  fill(x, y, 1, height, color);
  fill(x + width - 1, y, 1, height, color);
}

void Canvas::blit(const io::NdArray& image, int64_t x, int64_t y, int64_t scale) {
  const std::vector<int64_t>& shape = image.shape;
  if (image.dtype != io::DType::kUInt8 || shape.size() != 3 || (shape[2] != 1 && shape[2] != 3)) {
    base::fail_argument("report::Canvas::blit",
                        "image must be uint8 [height, width, 1 or 3]; got {} {}",
                        io::dtype_name(image.dtype), io::shape_string(shape));
  }
  if (scale < 1) {
    base::fail_argument("report::Canvas::blit", "scale must be at least 1; got {}", scale);
  }
  const int64_t channels = shape[2];
  const uint8_t* at = image.data<uint8_t>();
  for (int64_t row = 0; row < shape[0]; ++row) {
    for (int64_t column = 0; column < shape[1]; ++column, at += channels) {
      const Color color = channels == 3 ? Color{at[0], at[1], at[2]} : Color{at[0], at[0], at[0]};
      fill(x + column * scale, y + row * scale, scale, scale, color);
    }
  }
}

void Canvas::blend(int64_t x, int64_t y, Color color, double coverage) {
  if (coverage <= 0 || x < 0 || y < 0 || x >= width_ || y >= height_) return;
  uint8_t* at = image_.data<uint8_t>() + (y * width_ + x) * 3;
  const std::array<uint8_t, 3> target = {color.red, color.green, color.blue};
  for (size_t i = 0; i < 3; ++i) {
    at[i] = static_cast<uint8_t>(std::lround(at[i] + (target[i] - at[i]) * coverage));
  }
}

void Canvas::draw_text(int64_t x, int64_t y, std::string_view text, double size, Color color) {
  check_size(size);
  const std::string drawable = drawable_text(text);
  const double radius = std::max(kStrokeRadius * size, 0.55);  // thinner pens fade away
  const double top = static_cast<double>(y) + kFirstLineOffset * size;
  double left = static_cast<double>(x) + kStrokeRadius * size;
  for (char character : drawable) {
    const Glyph& glyph = glyph_of(character);
    const auto place = [&](GlyphPoint p) {
      return GlyphPoint{left + p.x * size, top + p.y * size};
    };
    // A pixel takes the strongest of the glyph's strokes, so that joints do not darken.
    const auto first_x = static_cast<int64_t>(std::floor(left - radius - 1));
    const auto last_x = static_cast<int64_t>(std::ceil(left + glyph.width * size + radius + 1));
    const auto last_y = static_cast<int64_t>(std::ceil(top + 8 * size + radius + 1));
    if (glyph.strokes.empty() || last_x < 0 || first_x >= width_) {
      left += (glyph.width + kGlyphGap) * size;
      continue;
    }
    for (int64_t py = y; py <= last_y; ++py) {
      for (int64_t px = first_x; px <= last_x; ++px) {
        const GlyphPoint centre{static_cast<double>(px) + 0.5, static_cast<double>(py) + 0.5};
        double distance = radius + 1;
        for (const std::vector<GlyphPoint>& stroke : glyph.strokes) {
          for (size_t i = 1; i < stroke.size(); ++i) {
            distance = std::min(distance,
                                segment_distance(centre, place(stroke[i - 1]), place(stroke[i])));
          }
        }
        blend(px, py, color, std::clamp(radius + 0.5 - distance, 0.0, 1.0));
      }
    }
    left += (glyph.width + kGlyphGap) * size;
  }
}

void Canvas::save(const std::filesystem::path& path) const { io::write_png(path, image_); }

}  // namespace scorejet::report
