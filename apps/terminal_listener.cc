// How tasks speak on a terminal.
#include <memory>

#include "apps/commands.h"
#include "scorejet/base/progress.h"

scorejet::base::Listener scorejet::apps::terminal_listener() {
  struct Bar {
    std::string task;
    std::unique_ptr<base::Progress> progress;
  };
  const auto bar = std::make_shared<Bar>();
  base::Listener listener;
  listener.progress = [bar](const base::ProgressEvent& event) {
    if (!bar->progress || bar->task != event.task) {
      bar->task = event.task;
      bar->progress = std::make_unique<base::Progress>(event.task, event.total, event.start);
    }
    bar->progress->update(event.done, event.details);
    if (event.total > 0 && event.done >= event.total) bar->progress.reset();  // ends its line
  };
  listener.notice = [bar](const std::string& text) {
    if (bar->progress && !text.empty()) {
      bar->progress->message("scorejet: note: " + text);  // without tearing the bar
    } else {
      print_notice(text);
    }
  };
  return listener;
}
