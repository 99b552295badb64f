// One line of progress: redrawn in place on a terminal, plain lines now and then when piped.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace scorejet::base {

class Progress {
 public:
  // `label` stands at the left; output goes to stderr. `start` is where a resumed count begins.
  Progress(std::string label, int64_t total, int64_t start = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Shows `done` of the total with rate and time left; `details` (losses and the like) at the
  // right. Draws at most ten times a second on a terminal, every 15 seconds otherwise.
  void update(int64_t done, const std::string& details);
  void set_total(int64_t total) { total_ = total; }
  // Prints a line of its own without tearing the bar.
  void message(const std::string& text);
  void finish(const std::string& details);
  double seconds() const;  // since the start

 private:
  void draw(int64_t done, const std::string& details);

  using Clock = std::chrono::steady_clock;
  std::string label_;
  int64_t total_;
  int64_t start_;
  bool terminal_;
  bool drawn_ = false;
  Clock::time_point begin_;
  Clock::time_point last_;
};

}  // namespace scorejet::base
