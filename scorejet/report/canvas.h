// A picture under construction: 8-bit RGB pixels, rectangles, pasted pictures and text.
// Change how things are drawn here; what is drawn where is decided by picture_grid.cc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "scorejet/io/ndarray.h"

namespace scorejet::report {

struct Color {
  uint8_t red = 0, green = 0, blue = 0;
  bool operator==(const Color&) const = default;
};

inline constexpr Color kWhite{255, 255, 255};
inline constexpr Color kInk{34, 38, 46};          // text
inline constexpr Color kFaintInk{110, 116, 128};  // text of lesser rank
inline constexpr Color kHairline{214, 218, 224};  // frames

struct TextExtent {
  int64_t width = 0, height = 0;  // pixels, whole pen strokes included
};

// The box that one line of text fills. `size` is the pixels of one grid unit of font.h: capitals
// are 6 units tall, so that size 1.5 reads like 13-pixel lettering. It need not be whole.
TextExtent measure_text(std::string_view text, double size);

// The words of `text` over at most `max_lines` lines, none wider than `max_width` pixels if that is
// possible; the last line takes what is left.
std::vector<std::string> wrap_text(std::string_view text, double size, int64_t max_width,
                                   size_t max_lines);

class Canvas {
 public:
  // Errors: std::invalid_argument for sizes below 1 or more than 2^28 pixels.
  Canvas(int64_t width, int64_t height, Color background = kWhite);

  int64_t width() const { return width_; }
  int64_t height() const { return height_; }
  // Errors: std::invalid_argument outside the picture.
  Color pixel(int64_t x, int64_t y) const;

  // All three clip at the border.
  void fill(int64_t x, int64_t y, int64_t width, int64_t height, Color color);
  // The outermost pixels of that rectangle.
  void frame(int64_t x, int64_t y, int64_t width, int64_t height, Color color);
  // Pastes a uint8 [height, width, 1 or 3] picture with its top left pixel at (x, y), each of its
  // pixels a square of `scale`. Errors: std::invalid_argument for another shape or type.
  void blit(const io::NdArray& image, int64_t x, int64_t y, int64_t scale = 1);

  // One line of text whose box (measure_text) has its top left corner at (x, y), smooth edges.
  void draw_text(int64_t x, int64_t y, std::string_view text, double size, Color color = kInk);

  const io::NdArray& image() const { return image_; }  // uint8 [height, width, 3]
  void save(const std::filesystem::path& path) const;  // as PNG, atomically

 private:
  void blend(int64_t x, int64_t y, Color color, double coverage);

  int64_t width_, height_;
  io::NdArray image_;
};

}  // namespace scorejet::report
