#include "reproduce/shared/workers.h"

#include <ATen/Parallel.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <map>
#include <sstream>
#include <system_error>
#include <thread>

#include "src/base/error.h"
#include "src/base/progress.h"
#include "src/base/threads.h"
#include "src/io/atomic_file.h"

namespace scorejet::reproduce {
namespace {

using Json = nlohmann::ordered_json;
constexpr const char* kWhere = "reproduce::run_tasks";

std::map<std::string, Json> read_journal(const std::filesystem::path& path) {
  std::map<std::string, Json> results;
  if (!std::filesystem::exists(path)) return results;
  std::istringstream lines(io::read_text(path));
  for (std::string line; std::getline(lines, line);) {
    const Json entry = Json::parse(line, nullptr, false);  // a torn last line is run again
    if (entry.is_object() && entry.contains("key") && entry.contains("result")) {
      results[entry["key"].get<std::string>()] = entry["result"];
    }
  }
  return results;
}

// What the workers share: the next task to take, and how many are done.
struct Shared {
  std::atomic<size_t> next{0}, done{0};
};

// One write() a line: lines of several processes do not mix.
void append_line(const std::filesystem::path& path, const std::string& line) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const bool written =
      file >= 0 && write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  const int reason = errno;
  if (file >= 0) close(file);
  if (!written) {
    base::fail_runtime(kWhere, "{} must be writable: {}", path.string(),
                       std::generic_category().message(reason));
  }
}

// A kill can leave a line without its end, to which the next would be joined.
void end_last_line(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return;
  const std::string text = io::read_text(path);
  if (!text.empty() && text.back() != '\n') append_line(path, "\n");
}

// A worker's whole life. An error's text goes to the pipe `report`.
[[noreturn]] void work(const std::vector<const Task*>& tasks, const std::filesystem::path& journal,
                       Shared& shared, int report) {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  int code = 0;
  try {
    at::set_num_threads(1);
    for (size_t i = shared.next++; i < tasks.size(); i = shared.next++) {
      const Json result = tasks[i]->run();
      append_line(journal, Json{{"key", tasks[i]->key}, {"result", result}}.dump() + "\n");
      ++shared.done;
    }
  } catch (const std::exception& error) {
    const std::string text = error.what();
    if (write(report, text.data(), text.size()) < 0) code = 2;
    code = code == 0 ? 1 : code;
  }
  _exit(code);  // no destructors: the parent owns what they would close
}

void run_missing(const std::string& label, const std::vector<const Task*>& tasks,
                 const std::filesystem::path& journal) {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int ends[2];
  if (memory == MAP_FAILED || pipe2(ends, O_CLOEXEC) != 0) {
    base::fail_runtime(kWhere, "workers need memory and a pipe: {}",
                       std::generic_category().message(errno));
  }
  Shared& shared = *new (memory) Shared;
  std::vector<pid_t> workers;
  const size_t count = std::min(tasks.size(), static_cast<size_t>(base::num_threads()));
  for (size_t i = 0; i < count; ++i) {
    const pid_t pid = fork();
    if (pid == 0) work(tasks, journal, shared, ends[1]);
    if (pid > 0) workers.push_back(pid);
  }
  close(ends[1]);
  bool failed = workers.empty();
  base::Progress bar(label, static_cast<int64_t>(tasks.size()));
  for (size_t running = workers.size(); running > 0 && !failed;) {
    int status = 0;
    const pid_t ended = waitpid(-1, &status, WNOHANG);
    if (ended > 0) {
      --running;
      failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    bar.update(static_cast<int64_t>(shared.done.load()), "");
  }
  if (failed) {
    for (const pid_t pid : workers) kill(pid, SIGTERM);
    while (waitpid(-1, nullptr, 0) > 0) {
    }
  }
  munmap(memory, sizeof(Shared));
  char text[4096];
  const ssize_t length = failed ? read(ends[0], text, sizeof(text)) : 0;
  close(ends[0]);
  if (length > 0) throw std::runtime_error(std::string(text, static_cast<size_t>(length)));
  if (failed) base::fail_runtime(kWhere, "a worker ended before its tasks did");
}

}  // namespace

std::vector<Json> run_tasks(const std::string& label, const std::vector<Task>& tasks,
                            const std::filesystem::path& journal) {
  std::map<std::string, Json> results = read_journal(journal);
  std::vector<const Task*> missing;
  for (const Task& task : tasks) {
    if (!results.contains(task.key)) missing.push_back(&task);
  }
  if (!missing.empty()) {
    end_last_line(journal);
    run_missing(label, missing, journal);
    results = read_journal(journal);
  }
  std::vector<Json> ordered;
  for (const Task& task : tasks) {
    if (!results.contains(task.key)) {
      base::fail_runtime(kWhere, "{} must hold a result for \"{}\"; got none", journal.string(),
                         task.key);
    }
    ordered.push_back(results[task.key]);
  }
  return ordered;
}

}  // namespace scorejet::reproduce
