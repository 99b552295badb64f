#include "src/base/terminal_listener.h"

#include <fmt/format.h>

#include <memory>

#include "src/base/progress.h"

namespace scorejet::base {
namespace {

struct Bar {
  std::string task;
  std::unique_ptr<Progress> progress;  // null between tasks

  void show(const ProgressEvent& event) {
    if (!progress || task != event.task) {
      task = event.task;
      progress = std::make_unique<Progress>(event.task, event.total, event.start);
    }
    progress->set_total(event.total);
    progress->update(event.done, event.details);
    if (!event.milestone.empty()) progress->message(event.milestone);
    if (event.total > 0 && event.done >= event.total) progress.reset();  // ends its line
  }

  void note(const std::string& text) {
    const std::string line = "scorejet: note: " + text;
    if (progress) {
      progress->message(line);
    } else {
      fmt::print(stderr, "{}\n", line);
    }
  }
};

}  // namespace

Listener terminal_listener() {
  const auto bar = std::make_shared<Bar>();
  Listener listener;
  listener.progress = [bar](const ProgressEvent& event) { bar->show(event); };
  listener.notice = [bar](const std::string& text) { bar->note(text); };
  return listener;
}

}  // namespace scorejet::base
