// From numbers to colours: one list of colour maps, linear between a few anchor colours.
// Add a map here: its name in the enum and its anchors in colormap.cc.
#pragma once

#include "src/report/canvas.h"

namespace scorejet::report {

enum class Colormap {
  kGrey,        // black to white: pictures
  kSequential,  // dark blue over green to yellow, even steps to the eye: standard deviations
  kDiverging,   // blue, white at the middle, red: components, whose sign matters
};

// The values shown in the first and the last colour; values outside take the end colours.
struct ValueRange {
  double min = 0, max = 1;
};

inline constexpr Color kNanColor{255, 0, 255};  // NaN, whatever the map

// The colour of a position in the map, 0 the first and 1 the last; clamped.
Color map_position(Colormap colormap, double position);

// The colour of a value. A range of no width shows its values at the middle of the map.
// Errors: std::domain_error when the range is not finite or max < min.
Color map_value(Colormap colormap, double value, ValueRange range);

// Where a value lies in a range, 0..1, clamped; infinities take the ends, NaN stays NaN.
double position_in(ValueRange range, double value);

}  // namespace scorejet::report
