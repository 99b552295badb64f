// The anchor colours and the interpolation between them.
#include "src/report/colormap.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "src/base/error.h"

namespace scorejet::report {
namespace {

constexpr Color kGreyAnchors[] = {{0, 0, 0}, {255, 255, 255}};

// Nine samples of viridis (S. van der Walt, N. Smith, E. Firing; released to the public domain).
constexpr Color kSequentialAnchors[] = {{68, 1, 84},    {71, 44, 122},  {59, 81, 139},
                                        {44, 113, 142}, {33, 144, 141}, {39, 173, 129},
                                        {92, 200, 99},  {170, 220, 50}, {253, 231, 37}};

constexpr Color kDivergingAnchors[] = {{33, 74, 152},   {88, 140, 196},  {172, 205, 228},
                                       {255, 255, 255}, {244, 186, 160}, {212, 96, 80},
                                       {160, 22, 44}};

std::span<const Color> anchors(Colormap colormap) {
  switch (colormap) {
    case Colormap::kSequential:
      return kSequentialAnchors;
    case Colormap::kDiverging:
      return kDivergingAnchors;
    case Colormap::kGrey:
      break;
  }
  return kGreyAnchors;
}

uint8_t between(uint8_t first, uint8_t last, double share) {
  return static_cast<uint8_t>(std::lround(first + (last - first) * share));
}

}  // namespace

Color map_position(Colormap colormap, double position) {
  if (std::isnan(position)) return kNanColor;
  const std::span<const Color> colors = anchors(colormap);
  const double place = std::clamp(position, 0.0, 1.0) * static_cast<double>(colors.size() - 1);
  const size_t index = std::min(static_cast<size_t>(place), colors.size() - 2);
  const double share = place - static_cast<double>(index);
  const Color& a = colors[index];
  const Color& b = colors[index + 1];
  return {between(a.red, b.red, share), between(a.green, b.green, share),
          between(a.blue, b.blue, share)};
}

double position_in(ValueRange range, double value) {
  if (!std::isfinite(range.min) || !std::isfinite(range.max) || range.max < range.min) {
    base::fail_domain("report::position_in", "range must be finite with min <= max; got [{}, {}]",
                      range.min, range.max);
  }
  if (std::isnan(value)) return value;
  if (range.max == range.min) return 0.5;
  return std::clamp((value - range.min) / (range.max - range.min), 0.0, 1.0);
}

Color map_value(Colormap colormap, double value, ValueRange range) {
  return map_position(colormap, position_in(range, value));
}

}  // namespace scorejet::report
