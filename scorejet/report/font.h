// The lettering of our pictures: a stroke font for ASCII 32..126, small enough to read in one page.
// Change the shape of a letter in font.cc, the spacing of a line here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace scorejet::report {

// A glyph lives on a grid: x from 0, y down from 0 (top of the capitals), 2 (top of the small
// letters), 6 (base line) to 8 (bottom of the descenders). One grid unit is drawn `size` pixels.
struct GlyphPoint {
  double x, y;
};

struct Glyph {
  std::vector<std::vector<GlyphPoint>> strokes;  // polylines; two equal points are a dot
  double width = 0;                              // x of the rightmost point
};

inline constexpr double kGlyphGap = 1.9;         // units between two glyphs
inline constexpr double kSpaceWidth = 1.3;       // units of a space, gaps not counted
inline constexpr double kStrokeRadius = 0.44;    // half the width of the pen, units
inline constexpr double kLineHeight = 9.0;       // a line of text with its pen, units
inline constexpr double kFirstLineOffset = 0.5;  // from the top of a line to y = 0, units

// The glyph of a character; that of '?' for characters the font lacks.
const Glyph& glyph_of(char character);

// The characters to draw: printable ASCII stays, line breaks and tabs become spaces, and each other
// UTF-8 character becomes one '?'.
std::string drawable_text(std::string_view text);

}  // namespace scorejet::report
