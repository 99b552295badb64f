// Brings a public data set into a folder, verified by size and checksum, resumable.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace scorejet::data {

// Fetches "mnist", "fashion-mnist" or "cifar10" into dir/<name>/. Files already there that pass
// their checksum are kept; a download that was cut off goes on from what is complete; a file
// appears in dir only when whole and verified. `log` gets one line a step. Errors:
// std::invalid_argument for an unknown name (with the nearest known one); std::runtime_error when
// the source cannot be reached (the message lists the official file names and where to put them by
// hand), a checksum differs, the disk is full, the folder not writable.
void fetch(const std::string& name, const std::filesystem::path& dir,
           const std::function<void(const std::string&)>& log);

}  // namespace scorejet::data
