#include "src/base/terminal_listener.h"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <string_view>

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

volatile std::sig_atomic_t received = 0;

// Nothing but what a signal handler may do.
void take_signal(int signal) {
  if (received != 0) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
    return;
  }
  received = signal;
  constexpr std::string_view kSaid = "\nscorejet: stopping; once more to stop at once\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kSaid.data(), kSaid.size());
}

}  // namespace

Listener terminal_listener() {
  const auto bar = std::make_shared<Bar>();
  Listener listener;
  listener.progress = [bar](const ProgressEvent& event) { bar->show(event); };
  listener.notice = [bar](const std::string& text) { bar->note(text); };
  return listener;
}

Listener interruptible_listener() {
  Listener listener = terminal_listener();
  listener.stop = [] { return stop_signal() != 0; };
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, take_signal);
  return listener;
}

int stop_signal() { return received; }

}  // namespace scorejet::base
