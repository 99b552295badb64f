// Files appear whole or not at all: written beside the target, synced, renamed over it.
// Every writer in scorejet goes through here, so that a full disk or a kill never harms a good
// file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace scorejet::io {

// Replaces `path` by `bytes`: temporary file in the same directory, fsync, rename, fsync of the
// directory. Errors: std::runtime_error naming the path and the system's reason (no permission, no
// space, no such directory); the old file is then untouched and the temporary one removed.
void write_file(const std::filesystem::path& path, std::string_view bytes);

// The same for a producer that writes to a path itself (a library with its own file handle):
// `produce` is given the temporary path and must have closed the file when it returns.
void replace_file(const std::filesystem::path& path,
                  const std::function<void(const std::filesystem::path&)>& produce);

// The whole file. Errors: std::runtime_error naming the path and the reason.
std::vector<std::byte> read_file(const std::filesystem::path& path);
std::string read_text(const std::filesystem::path& path);

// Creates the directory and its parents if missing and makes sure that a file can be made there.
// Errors: std::runtime_error naming the path and the reason.
void make_writable_directory(const std::filesystem::path& path);

}  // namespace scorejet::io
