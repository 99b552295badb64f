// Lettering in every script, and figures as PNG, SVG and PDF.
#include <fmt/format.h>
#include <glib.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "src/io/atomic_file.h"
#include "src/io/png.h"
#include "src/report/canvas.h"
#include "src/report/html.h"
#include "src/report/picture_grid.h"
#include "src/report/plot.h"
#include "tests/scratch.h"

namespace scorejet::report {
namespace {

using testing::error_of;
using testing::Scratch;

constexpr const char* kNowhere = "\xF4\x8F\xBF\xBD";  // U+10FFFD, which no font has

io::NdArray ink(const std::string& text) {
  Canvas canvas(60, 30);
  canvas.draw_text(4, 4, text, 16);
  return canvas.image();
}

bool is_xml(const std::string& text) {
  const GMarkupParser parser{};
  GMarkupParseContext* context = g_markup_parse_context_new(&parser, {}, nullptr, nullptr);
  const bool good = g_markup_parse_context_parse(context, text.data(),
                                                 static_cast<gssize>(text.size()), nullptr) &&
                    g_markup_parse_context_end_parse(context, nullptr);
  g_markup_parse_context_free(context);
  return good;
}

TEST(Lettering, EveryScriptHasItsOwnGlyphs) {
  const io::NdArray box = ink(kNowhere);
  EXPECT_NE(box.bytes, ink("").bytes);
  std::vector<std::vector<std::byte>> seen{box.bytes, ink("").bytes};
  for (const char* text : {"u", "ü", "ß", "σ", "Σ", "∇", "日", "本", "ら"}) {
    if (!missing_characters(text).empty()) {  // a machine without such a font says so
      Canvas canvas(60, 30);
      canvas.draw_text(4, 4, text, 16);
      EXPECT_NE(canvas.notice().find(text), std::string::npos);
      EXPECT_FALSE(std::string("uüßσΣ").find(text) != std::string::npos) << "no sans-serif font";
      continue;
    }
    const io::NdArray image = ink(text);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), image.bytes), 0) << text;
    seen.push_back(image.bytes);
  }
}

TEST(Lettering, MissingGlyphsAreSaidOnce) {
  Canvas canvas(200, 40);
  canvas.draw_text(4, 4, fmt::format("a{0}b{0}", kNowhere), 13);
  EXPECT_EQ(canvas.notice(),
            fmt::format("no font here has the characters {}: boxes stand for them in the picture",
                        kNowhere));
  canvas = Canvas(200, 40);
  canvas.draw_text(4, 4, "Größe σ\n\xFF", 13);
  EXPECT_EQ(canvas.notice(), "");
}

TEST(Lettering, MeasuresWhatItDraws) {
  for (const double size : {9.0, 13.0, 17.4}) {
    const std::string text = "Wj_Äg|σfQ";
    const TextExtent extent = measure_text(text, size);
    Canvas canvas(extent.width + 40, extent.height + 40);
    canvas.draw_text(20, 20, text, size, {0, 0, 0});
    const io::NdArray image = canvas.image();
    int64_t inked = 0;
    for (int64_t y = 0; y < canvas.height(); ++y) {
      for (int64_t x = 0; x < canvas.width(); ++x) {
        const bool inside = x >= 19 && x < 21 + extent.width && y >= 20 && y < 20 + extent.height;
        const bool dark = image.data<uint8_t>()[(y * canvas.width() + x) * 3] < 255;
        inked += dark;
        EXPECT_TRUE(inside || !dark) << size << ": " << x << ", " << y;
      }
    }
    EXPECT_GT(inked, 50);
    EXPECT_EQ(measure_text("", size).height, extent.height);
  }
  EXPECT_EQ(measure_text("", 13).width, 0);
  EXPECT_EQ(wrap_text("größer als alles andere", 13, 60, 2).size(), 2);
  EXPECT_EQ(wrap_text("größer als alles andere", 13, 1000, 2),
            (std::vector<std::string>{"größer als alles andere"}));
}

TEST(Canvas, PixelsAreExact) {
  io::NdArray picture = io::make_array(io::DType::kUInt8, {16, 16, 3});
  for (size_t i = 0; i < 768; ++i)
    picture.data<uint8_t>()[i] = static_cast<uint8_t>(37 * i + i / 256);
  Canvas canvas(60, 9000);  // drawn in two parts
  canvas.blit(picture, 5, 8185, 3);
  canvas.blit(picture, -4, 2, 1);
  canvas.fill(40, 0, 100, 2, {1, 2, 3});
  const io::NdArray image = canvas.image();
  const auto at = [&](int64_t x, int64_t y) { return image.data<uint8_t>() + (y * 60 + x) * 3; };
  for (int64_t y = 0; y < 48; ++y) {
    for (int64_t x = 0; x < 48; ++x) {
      const uint8_t* expected = picture.data<uint8_t>() + (y / 3 * 16 + x / 3) * 3;
      ASSERT_TRUE(std::equal(expected, expected + 3, at(5 + x, 8185 + y))) << x << ", " << y;
    }
  }
  EXPECT_TRUE(std::equal(at(0, 2), at(0, 2) + 3, picture.data<uint8_t>() + 12));
  EXPECT_EQ(at(59, 1)[2], 3);
  EXPECT_EQ(at(59, 2)[2], 255);
}

GridColumn grid_column(std::string title, Colormap colormap) {
  GridColumn column;
  column.title = std::move(title);
  column.tiles = io::make_array(io::DType::kFloat32, {2, 1, 4, 4});
  for (int i = 0; i < 32; ++i) column.tiles.data<float>()[i] = static_cast<float>(i) / 31;
  column.colormap = colormap;
  return column;
}

TEST(Figures, AreTheSameAtEveryCallAndOfTheirKind) {
  const Scratch scratch;
  const std::vector<GridColumn> columns{grid_column("Größe <σ>", Colormap::kGrey),
                                        grid_column("deviation", Colormap::kSequential)};
  const auto written = [&](const std::string& name) {
    EXPECT_EQ(write_picture_grid(scratch / name, columns, {"a & b", "c"}, "Entrauschen"), "");
    return io::read_text(scratch / name);
  };
  EXPECT_TRUE(written("a.png").starts_with("\x89PNG"));
  EXPECT_TRUE(written("a.pdf").starts_with("%PDF"));
  const std::string svg = written("a.svg");
  EXPECT_TRUE(is_xml(svg));
  EXPECT_FALSE(is_xml(svg + "</g>"));
  for (const char* text : {"Größe", "&lt;σ&gt;", "a &amp; b", "Entrauschen"}) {
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  }
  for (const char* name : {"a.png", "a.svg", "a.pdf"}) EXPECT_EQ(written(name), written(name));
  EXPECT_NE(error_of([&] { written("a.jpg"); }).find(".png, .svg or .pdf; got"), std::string::npos);
}

TEST(Figures, PlotsToo) {
  const Scratch scratch;
  const std::vector<Series> series{{"Größe <σ>", {0, 1, 2}, {1, 3, 2}}};
  for (const char* name : {"p.svg", "p.pdf"}) {
    const PlotResult result = write_plot(scratch / name, series);
    if (!result.written) {
      EXPECT_NE(result.reason.find("gnuplot"), std::string::npos) << result.reason;
      continue;
    }
    const std::string bytes = io::read_text(scratch / name);
    EXPECT_EQ(bytes, format_plot(series, {}, figure_format(name)).picture) << name;
    EXPECT_TRUE(figure_format(name) == FigureFormat::kPdf ? bytes.starts_with("%PDF")
                                                          : is_xml(bytes));
    if (figure_format(name) == FigureFormat::kSvg) {
      EXPECT_NE(bytes.find("Größe &lt;σ"), std::string::npos);
    }
  }
}

TEST(Html, WordsStayWholeAndCommandsWrap) {
  EXPECT_EQ(escape_cell("langevin, hmc & line-ozaki"), "langevin, hmc &amp; line-ozaki");
  EXPECT_EQ(escape_cell("/home/someone/with/a/long/folder/name.npy"),
            "/home/someone/with/a/long/<wbr>folder/name.npy");
  EXPECT_EQ(escape_cell(fmt::format("{:7<30} x", "")), fmt::format("{:7<28}<wbr>77 x", ""));
  EXPECT_EQ(escape_cell(fmt::format("{:z<27}ü77", "")), fmt::format("{:z<27}ü<wbr>77", ""));
  HtmlPage page("t");
  page.code_block("scorejet train --set a=1\n--out -- b --seed");
  const std::string html = page.str();
  EXPECT_EQ(html.find("anywhere"), std::string::npos);  // breaks words where there is room
  EXPECT_NE(html.find("white-space: pre-wrap"), std::string::npos);
  EXPECT_NE(html.find("<code>scorejet train <span>--set</span> a=1\n--out <span>--</span> b "
                      "<span>--seed</span></code>"),
            std::string::npos);
}

TEST(Html, FiguresSayTheirKind) {
  HtmlPage page("t");
  page.figure("<?xml version=\"1.0\"?><svg/>", "c");
  page.figure("\x89PNG\r\n\x1a\n", "c");
  EXPECT_NE(page.str().find("data:image/svg+xml;base64,PD94"), std::string::npos);
  EXPECT_NE(page.str().find("data:image/png;base64,iVBOR"), std::string::npos);
}

}  // namespace
}  // namespace scorejet::report
