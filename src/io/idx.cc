#include "src/io/idx.h"

#include <zlib.h>

#include <cstring>
#include <memory>

#include "src/base/error.h"

namespace scorejet::io {
namespace {

constexpr const char* kIdxWhere = "io::read_idx";

// The file's bytes, decompressed when gzip; plain files pass through gzread as they are.
std::string read_bytes(const std::filesystem::path& path) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file || std::filesystem::is_directory(path)) {
    base::fail_runtime(kIdxWhere, "cannot read {}: {}", path.string(),
                       std::generic_category().message(file ? EISDIR : errno));
  }
  std::string bytes;
  constexpr size_t kBlock = size_t{1} << 20;
  for (;;) {
    const size_t size = bytes.size();
    bytes.resize(size + kBlock);
    const int count = gzread(file.get(), bytes.data() + size, kBlock);
    bytes.resize(size + static_cast<size_t>(std::max(count, 0)));
    int code = Z_OK;
    const char* text = gzerror(file.get(), &code);
    if (count < 0 || (code != Z_OK && code != Z_STREAM_END)) {
      base::fail_runtime(kIdxWhere, "{}: corrupt or truncated gzip stream ({})", path.string(),
                         text);
    }
    if (count == 0) return bytes;
  }
}

}  // namespace

std::string read_maybe_gzip(const std::filesystem::path& path) { return read_bytes(path); }

NdArray read_idx(const std::filesystem::path& path) {
  const std::string text = read_bytes(path);
  const std::vector<unsigned char> bytes(text.begin(), text.end());
  const std::string name = path.string();
  if (bytes.size() < 4 || bytes[0] != 0 || bytes[1] != 0) {
    base::fail_runtime(kIdxWhere, "{}: must start with the IDX magic 00 00; got another file",
                       name);
  }
  if (bytes[2] != 0x08) {
    base::fail_runtime(kIdxWhere, "{}: element type must be 0x08 (uint8); got {:#04x}", name,
                       bytes[2]);
  }
  const size_t rank = bytes[3];
  if (rank < 1 || rank > 4) {
    base::fail_runtime(kIdxWhere, "{}: must have 1 to 4 dimensions; got {}", name, rank);
  }
  const size_t header = 4 + 4 * rank;
  if (bytes.size() < header) {
    base::fail_runtime(kIdxWhere, "{}: truncated: the header needs {} bytes; got {}", name, header,
                       bytes.size());
  }
  NdArray array;
  array.dtype = DType::kUInt8;
  size_t total = 1;
  const size_t found = bytes.size() - header;
  for (size_t axis = 0; axis < rank; ++axis) {
    const unsigned char* p = bytes.data() + 4 + 4 * axis;
    const size_t size = size_t{p[0]} << 24 | size_t{p[1]} << 16 | size_t{p[2]} << 8 | size_t{p[3]};
    array.shape.push_back(static_cast<int64_t>(size));
    if (size != 0 && total > (size_t{1} << 40) / size)
      total = size_t{1} << 40;  // surely too many
    else
      total *= size;
  }
  if (total != found) {
    base::fail_runtime(kIdxWhere, "{}: shape {} needs {} bytes of data; got {}", name,
                       shape_string(array.shape), total, found);
  }
  array.bytes.resize(total);
  std::memcpy(array.bytes.data(), bytes.data() + header, total);
  return array;
}

}  // namespace scorejet::io
