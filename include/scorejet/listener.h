// How long work speaks to its caller: progress, notices, and whether to stop. The library prints
// nothing; a command draws a bar (terminal_listener.h), a program does what it likes. Add here what
// every task should be able to tell.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace scorejet::base {

// Where a task stands.
struct ProgressEvent {
  std::string task;            // what is being done: "train", "denoise"
  int64_t done = 0;            // of `total` units of work
  int64_t total = 0;           // 0: not known
  int64_t start = 0;           // where a resumed count began
  std::string details;         // losses and the like; may be empty
  std::string milestone = {};  // a line worth keeping when the bar has gone on; may be empty
};

// Each may be left empty. Called by the thread that called the task, between units of work.
struct Listener {
  std::function<void(const ProgressEvent&)> progress = nullptr;
  std::function<void(const std::string&)> notice = nullptr;  // one line that the user should read
  std::function<bool()> stop = nullptr;  // true: finish cleanly, as soon as may be

  void on_progress(const ProgressEvent& event) const {
    if (progress) progress(event);
  }
  void on_notice(const std::string& text) const {
    if (notice && !text.empty()) notice(text);
  }
  bool stopped() const { return stop && stop(); }
};

}  // namespace scorejet::base
