// The shapes of the letters. Each glyph is a list of polylines separated by spaces; a point is two
// digits, x then y, on the grid that font.h describes: "0026" is a line from (0, 0) to (2, 6).
#include "scorejet/report/font.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace scorejet::report {
namespace {

constexpr size_t kNumGlyphs = 95;

constexpr std::array<std::string_view, kNumGlyphs> kShapes = {
    "",                                       // space
    "0004 0606",                              // !
    "0002 2022",                              // "
    "1016 3036 0242 0444",                    // #
    "413010010213334445361605 2026",          // $
    "0640 0010110100 3545463635",             // %
    "4612112031320405162644",                 // &
    "0002",                                   // '
    "10020517",                               // (
    "00121507",                               // )
    "2125 0244 0442",                         // *
    "2125 0343",                              // +
    "1607",                                   // ,
    "0333",                                   // -
    "0606",                                   // .
    "0730",                                   // /
    "102031352616050110",                     // 0
    "112026 1636",                            // 1
    "01102031320636",                         // 2
    "011020313223 13233435261605",            // 3
    "26200434",                               // 4
    "300002223335261605",                     // 5
    "312010010516263534231304",               // 6
    "003016",                                 // 7
    "102031322313020110 132334352616050413",  // 8
    "051626353120100102132332",               // 9
    "0303 0606",                              // :
    "1313 1607",                              // ;
    "310335",                                 // <
    "0232 0434",                              // =
    "013305",                                 // >
    "011020313214 1616",                      // ?
    "4616050110304144242242",                 // @
    "062046 1434",                            // A
    "003041423303 334445360600",              // B
    "4130100105163645",                       // C
    "00304145360600",                         // D
    "30000636 0323",                          // E
    "300006 0323",                            // F
    "41301001051636454323",                   // G
    "0006 4046 0343",                         // H
    "0020 1016 0626",                         // I
    "3035261605",                             // J
    "0006 4004 1346",                         // K
    "000636",                                 // L
    "0600234046",                             // M
    "06004640",                               // N
    "103041453616050110",                     // O
    "06003041423303",                         // P
    "103041453616050110 2446",                // Q
    "06003041423303 2346",                    // R
    "413010010213334445361605",               // S
    "0040 2026",                              // T
    "000516364540",                           // U
    "002640",                                 // V
    "0016223640",                             // W
    "0046 4006",                              // X
    "002340 2326",                            // Y
    "00400646",                               // Z
    "10000717",                               // [
    "0037",                                   // backslash
    "00101707",                               // ]
    "022042",                                 // ^
    "0747",                                   // _
    "0011",                                   // `
    "3236 3322120305162635",                  // a
    "0006 0312223335261605",                  // b
    "3322120305162635",                       // c
    "3036 3322120305162635",                  // d
    "04343322120305162635",                   // e
    "201116 0222",                            // f
    "3237281807 3322120305162635",            // g
    "0006 0312223336",                        // h
    "0206 0000",                              // i
    "121708 1010",                            // j
    "0006 3205 1436",                         // k
    "000516",                                 // l
    "0206 03122326 23324346",                 // m
    "0206 0312223336",                        // n
    "122233352616050312",                     // o
    "0208 0312223335261605",                  // p
    "3238 3322120305162635",                  // q
    "0206 031222",                            // r
    "3212031424352606",                       // s
    "101526 0222",                            // t
    "0205162635 3236",                        // u
    "022642",                                 // v
    "0216233642",                             // w
    "0236 3206",                              // x
    "0205162635 3237281807",                  // y
    "02320636",                               // z
    "20111203141627",                         // {
    "0007",                                   // |
    "00111223141607",                         // }
    "04132433",                               // ~
};

Glyph parse(std::string_view shape) {
  Glyph glyph;
  if (shape.empty()) {
    glyph.width = kSpaceWidth;
    return glyph;
  }
  glyph.strokes.emplace_back();
  for (size_t i = 0; i < shape.size(); i += 2) {
    if (shape[i] == ' ') {
      glyph.strokes.emplace_back();
      ++i;
    }
    const GlyphPoint point{static_cast<double>(shape[i] - '0'),
                           static_cast<double>(shape[i + 1] - '0')};
    glyph.strokes.back().push_back(point);
    glyph.width = std::max(glyph.width, point.x);
  }
  return glyph;
}

std::array<Glyph, kNumGlyphs> parse_all() {
  std::array<Glyph, kNumGlyphs> glyphs;
  std::transform(kShapes.begin(), kShapes.end(), glyphs.begin(), parse);
  return glyphs;
}

}  // namespace

const Glyph& glyph_of(char character) {
  static const std::array<Glyph, kNumGlyphs> glyphs = parse_all();
  if (character < ' ' || character > '~') character = '?';
  return glyphs[static_cast<size_t>(character - ' ')];
}

std::string drawable_text(std::string_view text) {
  std::string result;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == '\n' || byte == '\t' || byte == '\r') {
      result += ' ';
    } else if (byte >= ' ' && byte <= '~') {
      result += c;
    } else if ((byte & 0xC0) != 0x80) {  // not the continuation of a character already counted
      result += '?';
    }
  }
  return result;
}

}  // namespace scorejet::report
