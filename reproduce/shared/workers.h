// Many independent tasks, one process a core, with a journal: an interrupted experiment goes on
// where it was, and a crash costs one task.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace scorejet::reproduce {

struct Task {
  std::string key;  // names the task and all that its result depends on
  std::function<nlohmann::ordered_json()> run;
};

// The results of all tasks, in their order. Those whose key stands in `journal` (one JSON object a
// line, {"key": ..., "result": ...}) are taken from there, the others are run in
// base::num_threads() processes of one thread each, in the order given, and added to it. Call
// before any tensor work in this process: the workers are forked. Errors: std::runtime_error with
// the first task's own error, or when a worker dies; what was finished stays in the journal.
std::vector<nlohmann::ordered_json> run_tasks(const std::string& label,
                                              const std::vector<Task>& tasks,
                                              const std::filesystem::path& journal);

}  // namespace scorejet::reproduce
