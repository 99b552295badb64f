#include "src/base/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace scorejet::base {
namespace {

std::string clock_text(double seconds) {
  const auto total = static_cast<int64_t>(seconds + 0.5);
  return total >= 3600 ? fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60)
                       : fmt::format("{}:{:02}", total / 60, total % 60);
}

size_t terminal_width() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
  return 100;
}

}  // namespace

Progress::Progress(std::string label, int64_t total, int64_t start)
    : label_(std::move(label)),
      total_(total),
      start_(start),
      terminal_(isatty(STDERR_FILENO) == 1),
      begin_(Clock::now()),
      last_(begin_) {}

Progress::~Progress() {
  if (terminal_ && drawn_) std::fputc('\n', stderr);
}

void Progress::update(int64_t done, const std::string& details) {
  const auto now = Clock::now();
  const std::chrono::duration<double> since = now - last_;
  if (since.count() < (terminal_ ? 0.1 : 15.0)) return;
  last_ = now;
  draw(done, details);
}

double Progress::seconds() const {
  return std::chrono::duration<double>(Clock::now() - begin_).count();
}

void Progress::draw(int64_t done, const std::string& details) {
  const double elapsed = seconds();
  const double rate = static_cast<double>(done - start_) / std::max(elapsed, 1e-9);
  const double left = rate > 0 ? static_cast<double>(total_ - done) / rate : 0;
  const double share = total_ > 0 ? static_cast<double>(done) / static_cast<double>(total_) : 1;
  if (!terminal_) {
    fmt::print(stderr, "{} {}/{}  {:.1f}/s  {} left  {}\n", label_, done, total_, rate,
               clock_text(left), details);
    std::fflush(stderr);
    return;
  }
  constexpr int kWidth = 24;
  const int filled = std::clamp(static_cast<int>(share * kWidth), 0, kWidth);
  std::string line =
      fmt::format("{} [{:-<{}}{: <{}}] {}/{}  {:.1f}/s  {} left  {}", label_, "", filled, "",
                  kWidth - filled, done, total_, rate, clock_text(left), details);
  const size_t width = terminal_width() - 1;
  line.resize(std::max(width, size_t{1}), ' ');
  fmt::print(stderr, "\r{}", line);
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::message(const std::string& text) {
  if (terminal_ && drawn_) fmt::print(stderr, "\r{:<{}}\r", "", terminal_width() - 1);
  fmt::print(stderr, "{}\n", text);
  std::fflush(stderr);
}

void Progress::finish(const std::string& details) {
  draw(total_, details);
  if (terminal_ && drawn_) std::fputc('\n', stderr);
  drawn_ = false;
}

}  // namespace scorejet::base
