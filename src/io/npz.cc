#include "src/io/npz.h"

#include <zip.h>

#include <memory>
#include <span>

#include "src/base/error.h"
#include "src/io/atomic_file.h"
#include "src/io/npy.h"

namespace scorejet::io {
namespace {

struct Discard {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
struct CloseFile {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};

std::unique_ptr<zip_t, Discard> open_archive(const std::filesystem::path& path, int flags,
                                             const std::filesystem::path& name) {
  int code = 0;
  zip_t* archive = zip_open(path.c_str(), flags, &code);
  if (!archive) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const std::string text = zip_error_strerror(&error);
    zip_error_fini(&error);
    base::fail_runtime("io::npz", "cannot open {}: {}", name.string(), text);
  }
  return std::unique_ptr<zip_t, Discard>(archive);
}

}  // namespace

NamedArrays read_npz(const std::filesystem::path& path) {
  constexpr zip_uint64_t kLargest = zip_uint64_t{1} << 36;
  const auto archive = open_archive(path, ZIP_RDONLY | ZIP_CHECKCONS, path);
  NamedArrays arrays;
  const zip_int64_t count = zip_get_num_entries(archive.get(), 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    zip_stat_t stat;
    if (zip_stat_index(archive.get(), static_cast<zip_uint64_t>(i), 0, &stat) != 0 ||
        !(stat.valid & ZIP_STAT_SIZE) || stat.size > kLargest) {
      base::fail_runtime("io::read_npz", "{}: member {} cannot be read", path.string(), i);
    }
    std::string key = stat.name;
    const std::string member = path.string() + ":" + key;
    // A deflated stream expands at most about a thousandfold: a larger claim is a lie.
    if ((stat.valid & ZIP_STAT_COMP_SIZE) && stat.size > 1100 * stat.comp_size + 4096) {
      base::fail_runtime("io::read_npz", "{}: claims {} bytes from {} compressed ones", member,
                         stat.size, stat.comp_size);
    }
    const std::unique_ptr<zip_file_t, CloseFile> file(
        zip_fopen_index(archive.get(), static_cast<zip_uint64_t>(i), 0));
    std::vector<std::byte> bytes(stat.size);
    if (!file ||
        zip_fread(file.get(), bytes.data(), stat.size) != static_cast<zip_int64_t>(stat.size)) {
      base::fail_runtime("io::read_npz", "{}: truncated or corrupt", member);
    }
    std::byte extra;  // reading on to the end makes libzip verify the checksum
    if (zip_fread(file.get(), &extra, 1) != 0) {
      base::fail_runtime("io::read_npz", "{}: checksum does not match", member);
    }
    if (key.ends_with(".npy")) key.resize(key.size() - 4);
    arrays[key] = parse_npy(bytes, member);
  }
  return arrays;
}

void write_npz(const std::filesystem::path& path, const NamedArrays& arrays) {
  replace_file(path, [&](const std::filesystem::path& temporary) {
    auto archive = open_archive(temporary, ZIP_CREATE | ZIP_TRUNCATE, path);
    std::vector<std::string> members;  // must live until the archive is closed
    members.reserve(arrays.size());
    bool good = true;
    for (const auto& [key, array] : arrays) {
      members.push_back(format_npy(array));
      zip_source_t* source =
          zip_source_buffer(archive.get(), members.back().data(), members.back().size(), 0);
      const zip_int64_t index =
          source ? zip_file_add(archive.get(), (key + ".npy").c_str(), source, ZIP_FL_ENC_UTF_8)
                 : -1;
      if (index < 0 && source) zip_source_free(source);
      good = good && index >= 0 &&
             zip_set_file_compression(archive.get(), static_cast<zip_uint64_t>(index),
                                      ZIP_CM_DEFLATE, 1) == 0;
    }
    if (!good || zip_close(archive.get()) != 0) {
      base::fail_runtime("io::write_npz", "cannot write {}: {}", path.string(),
                         zip_strerror(archive.get()));
    }
    (void)archive.release();  // zip_close has freed it
  });
}

}  // namespace scorejet::io
