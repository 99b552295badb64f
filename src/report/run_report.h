// The report of a run: RUN/report.html, one self-contained page.
// Change what a report contains, and in which order, in run_report.cc.
#pragma once

#include <filesystem>

namespace scorejet::report {

// Writes RUN/report.html, atomically, from what the folder holds:
//   config.toml     shown as it is (it is what makes a folder a run);
//   run.json        a flat object of facts; may be missing;
//   metrics.jsonl   the course of the training; may be missing;
//   */metrics.json  one section each: {"kind", "title", "command", scalars...,
//                   "pictures": [{"file", "caption"}]}; a list of objects becomes a table.
// A picture that is missing is named as missing in its section.
// Errors: std::runtime_error, one line naming the file: not a run, JSON that cannot be read.
void build_report(const std::filesystem::path& run);

}  // namespace scorejet::report
