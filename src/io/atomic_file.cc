#include "src/io/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "src/base/error.h"

namespace scorejet::io {
namespace {

namespace fs = std::filesystem;

std::string reason(int error) { return std::generic_category().message(error); }

fs::path directory_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// Removes a temporary file unless it was renamed away.
class TemporaryFile {
 public:
  explicit TemporaryFile(const fs::path& target) {
    static std::atomic<int> counter{0};
    path_ = directory_of(target) /
            fmt::format(".{}.{}.{}.tmp", target.filename().string(), getpid(), counter++);
  }
  ~TemporaryFile() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

int sync_path(const fs::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
  if (descriptor < 0) return errno;
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  return error;
}

void write_all(const fs::path& target, const fs::path& path, std::string_view bytes) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  int error = descriptor < 0 ? errno : 0;
  size_t done = 0;
  while (error == 0 && done < bytes.size()) {
    const ssize_t count = ::write(descriptor, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) error = errno;
    if (count > 0) done += static_cast<size_t>(count);
  }
  if (descriptor >= 0 && ::close(descriptor) != 0 && error == 0) error = errno;
  if (error != 0) {
    base::fail_runtime("io::write_file", "cannot write {}: {}", target.string(), reason(error));
  }
}

}  // namespace

void replace_file(const fs::path& path, const std::function<void(const fs::path&)>& produce) {
  const TemporaryFile temporary(path);
  produce(temporary.path());
  int error = sync_path(temporary.path(), O_RDONLY);
  if (error == 0 && ::rename(temporary.path().c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) error = sync_path(directory_of(path), O_RDONLY | O_DIRECTORY);
  if (error != 0) {
    base::fail_runtime("io::replace_file", "cannot write {}: {}", path.string(), reason(error));
  }
}

void write_file(const fs::path& path, std::string_view bytes) {
  replace_file(path, [&](const fs::path& temporary) { write_all(path, temporary, bytes); });
}

std::string read_text(const fs::path& path) {
  if (fs::is_directory(path)) {
    base::fail_runtime("io::read_file", "cannot read {}: it is a folder", path.string());
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    base::fail_runtime("io::read_file", "cannot read {}: {}", path.string(), reason(errno));
  }
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) {
    base::fail_runtime("io::read_file", "cannot read {}: {}", path.string(), reason(errno));
  }
  return text;
}

std::vector<std::byte> read_file(const fs::path& path) {
  const std::string text = read_text(path);
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

void make_writable_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) {
    base::fail_runtime("io::make_writable_directory", "cannot make folder {}: {}", path.string(),
                       error.message());
  }
  if (!fs::is_directory(path)) {
    base::fail_runtime("io::make_writable_directory", "{} must be a folder; it is a file",
                       path.string());
  }
  if (::access(path.c_str(), W_OK | X_OK) != 0) {
    base::fail_runtime("io::make_writable_directory", "cannot write in folder {}: {}",
                       path.string(), reason(errno));
  }
}

}  // namespace scorejet::io
