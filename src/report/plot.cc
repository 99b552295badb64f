// gnuplot as a subprocess: a script with its data in a temporary folder, a picture out of it.
// Change the look of plots in `panel_script`, how gnuplot is called in `run_gnuplot`.
#include "src/report/plot.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <system_error>

#include "src/base/error.h"
#include "src/io/atomic_file.h"

namespace scorejet::report {
namespace {

// A folder that is gone when the plot is done.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "scorejet-plot-XXXXXX").string();
    if (!mkdtemp(pattern.data())) {
      throw std::system_error(errno, std::generic_category(), "temporary folder");
    }
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A gnuplot string. Within single quotes nothing is special (no escapes, no `commands`) but the
// quote itself; the terminal is asked not to read _ and ^ as markup.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (char c : text) {
    if (c == '\'') result += '\'';
    const auto byte = static_cast<unsigned char>(c);
    result += byte < 0x20 || byte == 0x7F ? ' ' : c;
  }
  return result + "'";
}

// The points of a series as an inline data block; an empty line lifts the pen.
std::string data_block(const Series& series, const PlotOptions& options, int64_t& num_drawn,
                       int64_t& num_dropped) {
  std::string block;
  bool gap = true;
  for (size_t i = 0; i < series.x.size(); ++i) {
    const double x = series.x[i], y = series.y[i];
    if (!std::isfinite(x) || !std::isfinite(y) || (options.log_x && x <= 0) ||
        (options.log_y && y <= 0)) {
      ++num_dropped;
      if (!gap) block += "\n";
      gap = true;
      continue;
    }
    block += fmt::format("{:.9g} {:.9g}\n", x, y);
    gap = false;
    ++num_drawn;
  }
  return block;
}

std::string style_text(SeriesStyle style, size_t index) {
  constexpr std::array<const char*, 6> kColors = {"#1f5fa8", "#c2452d", "#2f8f5b",
                                                  "#8257a8", "#b8860b", "#4d5663"};
  const char* color = kColors[index % kColors.size()];
  switch (style) {
    case SeriesStyle::kThinLine:
      return fmt::format("with lines lw 1 lc rgb '{}'", color);
    case SeriesStyle::kFaintLine:
      return "with lines lw 1.2 lc rgb '#9db8d6'";
    case SeriesStyle::kMarkedLine:
      return fmt::format("with linespoints lw 2 pt 7 ps 0.6 lc rgb '{}'", color);
    case SeriesStyle::kLine:
      break;
  }
  return fmt::format("with lines lw 2 lc rgb '{}'", color);
}

// The commands of one plot within the picture; `index` tells its data blocks from other panels'.
// Empty when there is nothing to draw.
std::string panel_script(const Panel& panel, size_t index, int64_t& num_dropped) {
  const PlotOptions& options = panel.options;
  std::string data, curves;
  for (size_t i = 0; i < panel.series.size(); ++i) {
    const Series& series = panel.series[i];
    int64_t num_drawn = 0;
    const std::string block = data_block(series, options, num_drawn, num_dropped);
    if (num_drawn == 0) continue;
    data += fmt::format("$data{}_{} << END_OF_DATA\n{}END_OF_DATA\n", index, i, block);
    curves += fmt::format(
        "{}$data{}_{} using 1:2 {} {}", curves.empty() ? "" : ", \\\n  ", index, i,
        style_text(series.style, i),
        series.label.empty() ? std::string("notitle") : "title " + quoted(series.label));
  }
  if (curves.empty()) return "";
  std::string axes;
  if (options.log_x) axes += "set logscale x\nset format x '%g'\n";
  if (options.log_y) axes += "set logscale y\nset format y '%g'\n";
  if (options.y_range) {
    axes += fmt::format("set yrange [{:.9g}:{:.9g}]\n", options.y_range->min, options.y_range->max);
  }
  return fmt::format(
      "reset\n"
      "set title {0} textcolor rgb '#22262e'\n"
      "set xlabel {1} textcolor rgb '#22262e'\n"
      "set ylabel {2} textcolor rgb '#22262e'\n"
      "set border 3 lc rgb '#8a919c'\n"
      "set tics nomirror textcolor rgb '#4d5663'\n"
      "set grid lc rgb '#e4e7eb' lt 1 lw 1\n"
      "set key {6}top right opaque box lc rgb '#d6dae0' textcolor rgb '#22262e' spacing 1.1\n"
      "set autoscale xfix\n"
      "set offsets 0, 0, graph 0.03, graph 0.03\n"
      "{3}{4}plot {5}\n",
      quoted(options.title), quoted(options.xlabel), quoted(options.ylabel), axes, data, curves,
      options.key_outside ? "outside " : "");
}

// The kind of picture, its size in pixels and its font.
std::string terminal_script(FigureFormat format, int64_t width, int64_t height) {
  if (format == FigureFormat::kSvg) {
    return fmt::format(
        "set terminal svg noenhanced size {},{} font 'DejaVu Sans,sans-serif,14' background "
        "'#ffffff'\n",
        width, height);
  }
  if (format == FigureFormat::kPdf) {  // inches, of 96 pixels
    return fmt::format(
        "set terminal pdfcairo noenhanced size {:.6g},{:.6g} fontscale 1 pointscale 0.8 font "
        "'sans,8' background '#ffffff'\n",
        static_cast<double>(width) / 96, static_cast<double>(height) / 96);
  }
  return fmt::format(
      "if (strstrt(GPVAL_TERMINALS, 'pngcairo') > 0) {{\n"
      "  set terminal pngcairo noenhanced size {0},{1} font 'sans,11' background '#ffffff'\n"
      "}} else {{\n"
      "  set terminal png noenhanced size {0},{1} background '#ffffff'\n"
      "}}\n",
      width, height);
}

// The whole picture; empty when there is nothing to draw.
std::string picture_script(const std::vector<Panel>& panels, const std::filesystem::path& picture,
                           FigureFormat format, int64_t& num_dropped) {
  std::string plots;
  int64_t num_panels = 0, height = 0;
  for (size_t i = 0; i < panels.size(); ++i) {
    const std::string plot = panel_script(panels[i], i, num_dropped);
    if (plot.empty()) continue;
    plots += plot;
    height += panels[i].options.height;
    ++num_panels;
  }
  if (num_panels == 0) return "";
  return fmt::format(
      "set encoding utf8\n{}set output {}\n{}{}",
      terminal_script(format, panels[0].options.width, height), quoted(picture.string()),
      num_panels > 1 ? fmt::format("set multiplot layout {},1\n", num_panels) : "", plots);
}

// Runs `gnuplot -d SCRIPT` (-d: without the user's settings). "" or what went wrong.
std::string run_gnuplot(const std::filesystem::path& script, const std::filesystem::path& log) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  std::string name = "gnuplot", flag = "-d", argument = script.string();
  char* const arguments[] = {name.data(), flag.data(), argument.data(), nullptr};
  pid_t child = 0;
  const int error = posix_spawnp(&child, "gnuplot", &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) return "gnuplot is not installed (or not on the PATH)";
  if (error != 0) {
    return fmt::format("gnuplot could not be started: {}", std::generic_category().message(error));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return "gnuplot could not be waited for";
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  std::string said = std::filesystem::exists(log) ? io::read_text(log) : "";
  for (char& c : said) c = c == '\n' ? ' ' : c;
  return fmt::format("gnuplot failed: {}", said);
}

void check_plot(const std::vector<Series>& series, const PlotOptions& options) {
  constexpr const char* kWhere = "report::plot";
  if (series.empty()) base::fail_argument(kWhere, "series must not be empty; got none");
  for (const Series& one : series) {
    if (one.x.size() != one.y.size()) {
      base::fail_argument(kWhere, "y of \"{}\" must have the {} values of x; got {}", one.label,
                          one.x.size(), one.y.size());
    }
  }
  for (int64_t size : {options.width, options.height}) {
    if (size < 100 || size > 10000) {
      base::fail_argument(kWhere, "width and height must lie in 100..10000; got {}", size);
    }
  }
  if (options.y_range) {
    const ValueRange range = *options.y_range;
    if (!std::isfinite(range.min) || !std::isfinite(range.max) || range.max <= range.min) {
      base::fail_domain(kWhere, "y_range must be finite with min < max; got [{}, {}]", range.min,
                        range.max);
    }
  }
}

PlotResult format_panels(const std::vector<Panel>& panels, FigureFormat format) {
  if (panels.empty()) base::fail_argument("report::plot", "panels must not be empty; got none");
  for (const Panel& panel : panels) check_plot(panel.series, panel.options);
  PlotResult result;
  try {
    const TemporaryFolder folder;
    const std::filesystem::path picture = folder.path() / "picture";
    const std::string script = picture_script(panels, picture, format, result.num_dropped);
    if (script.empty()) {
      result.reason = "there is no finite value to draw";
      return result;
    }
    io::write_file(folder.path() / "plot.gp", script);
    result.reason = run_gnuplot(folder.path() / "plot.gp", folder.path() / "log.txt");
    if (!result.reason.empty()) return result;
    if (!std::filesystem::exists(picture)) {
      result.reason = "gnuplot wrote no picture";
      return result;
    }
    result.picture = io::read_text(picture);
    if (format == FigureFormat::kPdf) result.picture = without_dates(std::move(result.picture));
    result.written = !result.picture.empty();
    if (!result.written) result.reason = "gnuplot wrote an empty picture";
  } catch (const std::exception& error) {  // a full or missing temporary folder
    result.reason = error.what();
  }
  return result;
}

}  // namespace

PlotResult format_plot(const std::vector<Series>& series, const PlotOptions& options,
                       FigureFormat format) {
  return format_panels({{series, options}}, format);
}

PlotResult write_plot(const std::filesystem::path& path, const std::vector<Series>& series,
                      const PlotOptions& options) {
  return write_panels(path, {{series, options}});
}

PlotResult write_panels(const std::filesystem::path& path, const std::vector<Panel>& panels) {
  PlotResult result = format_panels(panels, figure_format(path));
  if (result.written) io::write_file(path, result.picture);
  return result;
}

}  // namespace scorejet::report
