// Drawing with cairo, lettering with Pango: every glyph comes from the first font that has it.
// Change how the kinds of file differ in Canvas::format, the font in `make_layout`.
#include "src/report/canvas.h"

#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <fmt/format.h>
#include <pango/pangocairo.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "src/base/error.h"
#include "src/io/atomic_file.h"
#include "src/io/png.h"
#include "src/report/html.h"

namespace scorejet::report {
namespace {

constexpr int64_t kMaxCanvasPixels = int64_t{1} << 28;
constexpr int64_t kPartSide = 8192;
constexpr double kLineShare = 1.42;      // height of a line of text, in sizes of its font
constexpr double kBaselineShare = 1.06;  // its base line, from the top

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using Surface = std::unique_ptr<cairo_surface_t, Freed<cairo_surface_destroy>>;
using Context = std::unique_ptr<cairo_t, Freed<cairo_destroy>>;
using Layout = std::unique_ptr<PangoLayout, Freed<g_object_unref>>;

template <typename T, auto Free>
using Owned = std::unique_ptr<T, Freed<Free>>;

void check_cairo(cairo_status_t status) {
  if (status != CAIRO_STATUS_SUCCESS) {
    base::fail_runtime("report::Canvas", "a picture must be drawn; cairo said: {}",
                       cairo_status_to_string(status));
  }
}

// What Pango can lay out as one line.
std::string drawable_text(std::string_view text) {
  const Owned<char, g_free> valid(g_utf8_make_valid(text.data(), static_cast<gssize>(text.size())));
  std::string result = valid.get();
  for (char& c : result) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < ' ' || byte == 0x7F) c = ' ';
  }
  return result;
}

// A line of text in the machine's sans-serif font, the same on every kind of surface: no hinting,
// which depends on the surface and on the user's settings.
Layout make_layout(std::string_view text, double size) {
  if (!(size > 0) || size > 1000) {
    base::fail_domain("report::draw_text", "size must lie in (0, 1000]; got {}", size);
  }
  const Owned<PangoContext, g_object_unref> context(
      pango_font_map_create_context(pango_cairo_font_map_get_default()));
  const Owned<cairo_font_options_t, cairo_font_options_destroy> options(
      cairo_font_options_create());
  cairo_font_options_set_antialias(options.get(), CAIRO_ANTIALIAS_GRAY);
  cairo_font_options_set_hint_style(options.get(), CAIRO_HINT_STYLE_NONE);
  cairo_font_options_set_hint_metrics(options.get(), CAIRO_HINT_METRICS_OFF);
  pango_cairo_context_set_font_options(context.get(), options.get());
  pango_context_set_round_glyph_positions(context.get(), FALSE);
  Layout layout(pango_layout_new(context.get()));
  const Owned<PangoFontDescription, pango_font_description_free> font(
      pango_font_description_from_string("sans"));
  pango_font_description_set_absolute_size(font.get(), size * PANGO_SCALE);
  pango_layout_set_font_description(layout.get(), font.get());
  pango_layout_set_single_paragraph_mode(layout.get(), TRUE);
  const std::string drawable = drawable_text(text);
  pango_layout_set_text(layout.get(), drawable.data(), static_cast<int>(drawable.size()));
  return layout;
}

// Each pixel a square of `scale`: cairo would leave the enlarging, smoothed, to who shows an SVG.
Surface enlarged(const io::NdArray& image, int64_t scale) {
  const int64_t height = image.shape[0], width = image.shape[1], channels = image.shape[2];
  Surface surface(cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(width * scale),
                                             static_cast<int>(height * scale)));
  check_cairo(cairo_surface_status(surface.get()));
  cairo_surface_flush(surface.get());
  const int64_t stride = cairo_image_surface_get_stride(surface.get()) / 4;
  auto* pixels = reinterpret_cast<uint32_t*>(cairo_image_surface_get_data(surface.get()));
  for (int64_t y = 0; y < height * scale; ++y) {
    const uint8_t* row = image.data<uint8_t>() + y / scale * width * channels;
    for (int64_t x = 0; x < width * scale; ++x) {
      const uint8_t* at = row + x / scale * channels;
      const uint32_t red = at[0], green = at[channels / 2], blue = at[channels - 1];
      pixels[y * stride + x] = red << 16 | green << 8 | blue;
    }
  }
  cairo_surface_mark_dirty(surface.get());
  return surface;
}

void set_color(cairo_t* context, Color color) {
  cairo_set_source_rgb(context, color.red / 255.0, color.green / 255.0, color.blue / 255.0);
}

cairo_status_t append_bytes(void* text, const unsigned char* bytes, unsigned int count) {
  static_cast<std::string*>(text)->append(reinterpret_cast<const char*>(bytes), count);
  return CAIRO_STATUS_SUCCESS;
}

// cairo numbers surfaces and images over the whole life of the process: here from 0 again.
std::string renumbered(std::string_view svg) {
  std::string result;
  std::map<std::string, size_t, std::less<>> numbers;
  for (size_t i = 0; i < svg.size();) {
    for (const std::string_view name : {"surface", "image"}) {
      const bool marked = svg[i] == '"' || svg[i] == '#';
      if (!marked || svg.substr(i + 1, name.size()) != name) continue;
      const size_t begin = i + 1 + name.size();
      const size_t end = std::min(svg.find_first_not_of("0123456789", begin), svg.size());
      if (end == begin) continue;
      const std::string key(svg.substr(i + 1, end - i - 1));
      const size_t number = numbers.emplace(key, numbers.size()).first->second;
      result += fmt::format("{}{}{}", svg[i], name, number);
      i = end;
    }
    if (i < svg.size()) result += svg[i++];
  }
  return result;
}

// Pictures stay unsmoothed when the viewer enlarges them; `texts` become the description.
std::string finished_svg(std::string_view svg, const std::vector<std::string>& texts) {
  std::string result = renumbered(svg);
  constexpr std::string_view kImage = "<image ", kSharp = "style=\"image-rendering:pixelated\" ";
  for (size_t i = 0; (i = result.find(kImage, i)) != std::string::npos;) {
    result.insert(i += kImage.size(), kSharp);
  }
  std::string description;
  for (const std::string& text : texts) description += escape_html(text) + "\n";
  const size_t root = result.find("<svg ");
  result.insert(result.find('>', root) + 1, "\n<desc>" + description + "</desc>");
  return result;
}

}  // namespace

TextExtent measure_text(std::string_view text, double size) {
  const Layout layout = make_layout(text, size);
  int width = 0;
  pango_layout_get_size(layout.get(), &width, nullptr);
  return {(width + PANGO_SCALE - 1) / PANGO_SCALE, std::llround(std::ceil(kLineShare * size))};
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

std::string missing_characters(std::string_view text) {
  const std::string drawable = drawable_text(text);
  if (pango_layout_get_unknown_glyphs_count(make_layout(drawable, 12).get()) == 0) return "";
  std::string missing;
  for (const char* at = drawable.c_str(); *at != '\0'; at = g_utf8_next_char(at)) {
    const std::string_view one(at, static_cast<size_t>(g_utf8_next_char(at) - at));
    if (one != " " && missing.find(one) == std::string::npos &&
        pango_layout_get_unknown_glyphs_count(make_layout(one, 12).get()) > 0) {
      missing += one;
    }
  }
  return missing;
}

struct Canvas::Drawing {
  std::vector<std::function<void(cairo_t*)>> steps;
  std::vector<std::string> texts;

  // With (left, top) as the surface's first pixel.
  void draw(cairo_surface_t* surface, int64_t left = 0, int64_t top = 0) const {
    check_cairo(cairo_surface_status(surface));
    const Context context(cairo_create(surface));
    cairo_set_antialias(context.get(), CAIRO_ANTIALIAS_GRAY);
    cairo_translate(context.get(), static_cast<double>(-left), static_cast<double>(-top));
    for (const auto& step : steps) step(context.get());
    check_cairo(cairo_status(context.get()));
    cairo_surface_flush(surface);
  }
  // All of a file that the surface writes.
  void draw_file(const Surface& surface) const {
    draw(surface.get());
    cairo_surface_finish(surface.get());
    check_cairo(cairo_surface_status(surface.get()));
  }
};

Canvas::Canvas(int64_t width, int64_t height, Color background)
    : width_(width), height_(height), drawing_(std::make_unique<Drawing>()) {
  if (width < 1 || height < 1 || width > kMaxCanvasPixels / height) {
    base::fail_argument("report::Canvas",
                        "a picture must have 1 to {} pixels; got width {} and height {}",
                        kMaxCanvasPixels, width, height);
  }
  fill(0, 0, width, height, background);
}

Canvas::~Canvas() = default;
Canvas::Canvas(Canvas&& other) noexcept = default;
Canvas& Canvas::operator=(Canvas&& other) noexcept = default;

void Canvas::fill(int64_t x, int64_t y, int64_t width, int64_t height, Color color) {
  drawing_->steps.push_back([=](cairo_t* context) {
    set_color(context, color);
    cairo_rectangle(context, static_cast<double>(x), static_cast<double>(y),
                    static_cast<double>(width), static_cast<double>(height));
    cairo_fill(context);
  });
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
  drawing_->steps.push_back([=](cairo_t* context) {
    const Surface surface = enlarged(image, scale);
    cairo_set_source_surface(context, surface.get(), static_cast<double>(x),
                             static_cast<double>(y));
    cairo_pattern_set_filter(cairo_get_source(context), CAIRO_FILTER_NEAREST);
    cairo_paint(context);
  });
}

void Canvas::draw_text(int64_t x, int64_t y, std::string_view text, double size, Color color) {
  if (text.empty()) return;
  const std::string drawable = drawable_text(text);
  drawing_->texts.push_back(drawable);
  drawing_->steps.push_back([=](cairo_t* context) {
    const Layout layout = make_layout(drawable, size);
    const double baseline = pango_units_to_double(pango_layout_get_baseline(layout.get()));
    set_color(context, color);
    cairo_move_to(context, static_cast<double>(x),
                  static_cast<double>(y) + std::round(kBaselineShare * size) - baseline);
    pango_cairo_show_layout(context, layout.get());
  });
}

io::NdArray Canvas::image() const {
  io::NdArray image = io::make_array(io::DType::kUInt8, {height_, width_, 3});
  // In parts, for cairo's pictures end at 32767 pixels.
  for (int64_t top = 0; top < height_; top += kPartSide) {
    for (int64_t left = 0; left < width_; left += kPartSide) {
      const int64_t height = std::min(kPartSide, height_ - top);
      const int64_t width = std::min(kPartSide, width_ - left);
      const Surface surface(cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(width),
                                                       static_cast<int>(height)));
      drawing_->draw(surface.get(), left, top);
      const unsigned char* bytes = cairo_image_surface_get_data(surface.get());
      const int64_t stride = cairo_image_surface_get_stride(surface.get());
      for (int64_t y = 0; y < height; ++y) {
        const auto* row = reinterpret_cast<const uint32_t*>(bytes + y * stride);
        uint8_t* out = image.data<uint8_t>() + ((top + y) * width_ + left) * 3;
        for (int64_t x = 0; x < width; ++x) {
          *out++ = static_cast<uint8_t>(row[x] >> 16);
          *out++ = static_cast<uint8_t>(row[x] >> 8);
          *out++ = static_cast<uint8_t>(row[x]);
        }
      }
    }
  }
  return image;
}

std::string Canvas::format(FigureFormat format) const {
  if (format == FigureFormat::kPng) return io::format_png(image());
  std::string bytes;
  const auto width = static_cast<double>(width_), height = static_cast<double>(height_);
  if (format == FigureFormat::kPdf) {
    drawing_->draw_file(
        Surface(cairo_pdf_surface_create_for_stream(append_bytes, &bytes, width, height)));
    return without_dates(std::move(bytes));
  }
  Surface surface(cairo_svg_surface_create_for_stream(append_bytes, &bytes, width, height));
  cairo_svg_surface_set_document_unit(surface.get(), CAIRO_SVG_UNIT_PX);
  drawing_->draw_file(surface);
  return finished_svg(bytes, drawing_->texts);
}

void Canvas::save(const std::filesystem::path& path) const {
  io::write_file(path, format(figure_format(path)));
}

std::string Canvas::notice() const {
  std::string texts;
  for (const std::string& text : drawing_->texts) texts += text;
  const std::string missing = missing_characters(texts);
  if (missing.empty()) return "";
  return fmt::format("no font here has the characters {}: boxes stand for them in the picture",
                     missing);
}

}  // namespace scorejet::report
