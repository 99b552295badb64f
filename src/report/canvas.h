// A picture under construction: rectangles, pasted pictures and lines of text, drawn by cairo and
// Pango into a PNG, an SVG or a PDF. Change how things are drawn here; what is drawn where is
// decided by picture_grid.cc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/io/ndarray.h"
#include "src/report/figure_format.h"

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
  int64_t width = 0, height = 0;  // pixels
};

// The box that one line of text fills; its height is that of every text of this size. `size` is
// that of the font in pixels: 13 reads like body text. UTF-8; line breaks and control characters
// count as spaces, and bytes that are not UTF-8 as the replacement character.
TextExtent measure_text(std::string_view text, double size);

// The words of `text` over at most `max_lines` lines, none wider than `max_width` pixels if that is
// possible; the last line takes what is left.
std::vector<std::string> wrap_text(std::string_view text, double size, int64_t max_width,
                                   size_t max_lines);

// The characters of `text` that no font of this machine has; each is drawn as a box with its
// number.
std::string missing_characters(std::string_view text);

class Canvas {
 public:
  // Errors: std::invalid_argument for sizes below 1 or more than 2^28 pixels.
  Canvas(int64_t width, int64_t height, Color background = kWhite);
  ~Canvas();
  Canvas(Canvas&& other) noexcept;
  Canvas& operator=(Canvas&& other) noexcept;

  int64_t width() const { return width_; }
  int64_t height() const { return height_; }

  // All clip at the border.
  void fill(int64_t x, int64_t y, int64_t width, int64_t height, Color color);
  // The outermost pixels of that rectangle.
  void frame(int64_t x, int64_t y, int64_t width, int64_t height, Color color);
  // Pastes a uint8 [height, width, 1 or 3] picture with its top left pixel at (x, y), each of its
  // pixels a square of `scale`, unsmoothed. Errors: std::invalid_argument for another shape or
  // type.
  void blit(const io::NdArray& image, int64_t x, int64_t y, int64_t scale = 1);

  // One line of text whose box (measure_text) has its top left corner at (x, y), smooth edges.
  void draw_text(int64_t x, int64_t y, std::string_view text, double size, Color color = kInk);

  io::NdArray image() const;  // uint8 [height, width, 3]
  // The bytes of such a file; the same for the same drawing. SVG: letters as outlines, which need
  // no font where they are shown, and the texts as its description.
  std::string format(FigureFormat format) const;
  // Atomically; the end of the name decides (figure_format).
  void save(const std::filesystem::path& path) const;
  // One line naming the characters that no font had, "" where none is missing.
  std::string notice() const;

 private:
  struct Drawing;  // what was drawn, in order
  int64_t width_, height_;
  std::unique_ptr<Drawing> drawing_;
};

}  // namespace scorejet::report
