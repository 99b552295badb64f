#include "src/io/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "src/base/error.h"
#include "src/io/atomic_file.h"

namespace scorejet::io {
namespace {

constexpr const char* kSafeTensorsWhere = "io::read_safetensors";

const std::vector<std::pair<std::string, DType>>& type_names() {
  static const std::vector<std::pair<std::string, DType>> names{{"U8", DType::kUInt8},
                                                                {"I32", DType::kInt32},
                                                                {"I64", DType::kInt64},
                                                                {"F32", DType::kFloat32},
                                                                {"F64", DType::kFloat64}};
  return names;
}

// Where a tensor's bytes lie, from the first after the header.
struct Region {
  uint64_t begin, end;
  std::string key;
};

// A file taken apart: its header, and the bytes after it.
struct SafeTensorsParts {
  std::string name;  // of the file, for errors
  nlohmann::json header;
  const std::byte* data;
  uint64_t data_size;
};

SafeTensorsParts take_apart(const std::string& name, const std::vector<std::byte>& bytes) {
  uint64_t length = 0;
  if (bytes.size() >= 8) std::memcpy(&length, bytes.data(), 8);
  if (bytes.size() < 8 || length > bytes.size() - 8) {
    base::fail_runtime(kSafeTensorsWhere,
                       "{}: truncated: the header needs {} bytes; the file has {}", name, length,
                       bytes.size());
  }
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + 8;
  SafeTensorsParts parts{name, nlohmann::json::parse(text, text + length, nullptr, false),
                         bytes.data() + 8 + length, bytes.size() - 8 - length};
  if (!parts.header.is_object())
    base::fail_runtime(kSafeTensorsWhere, "{}: header must be a JSON object", name);
  return parts;
}

DType named_dtype(const SafeTensorsParts& parts, const std::string& key, const std::string& dtype) {
  const auto found = std::find_if(type_names().begin(), type_names().end(),
                                  [&](const auto& item) { return item.first == dtype; });
  if (found == type_names().end()) {
    base::fail_runtime(kSafeTensorsWhere, "{}: {} must be U8, I32, I64, F32 or F64; got {}",
                       parts.name, key, dtype);
  }
  return found->second;
}

// What an array of this type and shape takes; more than `most`, at whatever size, where it would
// not fit there.
uint64_t bytes_needed(const NdArray& array, uint64_t most) {
  uint64_t needed = dtype_size(array.dtype);
  for (int64_t size : array.shape) {
    if (size < 0 || (size > 0 && needed > most / static_cast<uint64_t>(size) + 8)) return most + 1;
    needed *= static_cast<uint64_t>(size);
  }
  return needed;
}

// One entry of the header, with its bytes.
NdArray read_entry(const SafeTensorsParts& parts, const std::string& key,
                   const nlohmann::json& entry, Region& region) {
  NdArray array;
  array.dtype = named_dtype(parts, key, entry.at("dtype").get<std::string>());
  array.shape = entry.at("shape").get<std::vector<int64_t>>();
  const auto [begin, end] = entry.at("data_offsets").get<std::array<uint64_t, 2>>();
  const uint64_t needed = bytes_needed(array, parts.data_size);
  if (begin > end || end > parts.data_size || end - begin != needed) {
    base::fail_runtime(kSafeTensorsWhere, "{}: {} {} needs {} bytes; its offsets are {}..{} of {}",
                       parts.name, key, shape_string(array.shape), needed, begin, end,
                       parts.data_size);
  }
  array.bytes.assign(parts.data + begin, parts.data + end);
  region = {begin, end, key};
  return array;
}

// The tensors' bytes fill the file, one after the other.
void check_regions(const SafeTensorsParts& parts, std::vector<Region> regions) {
  std::sort(regions.begin(), regions.end(), [](const Region& a, const Region& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t position = 0;
  for (const Region& region : regions) {
    if (region.begin != position) {
      base::fail_runtime(kSafeTensorsWhere, "{}: {} must start at byte {}; got {} (overlap or gap)",
                         parts.name, region.key, position, region.begin);
    }
    position = region.end;
  }
  if (position != parts.data_size) {
    base::fail_runtime(kSafeTensorsWhere, "{}: tensors fill {} bytes; got {}", parts.name, position,
                       parts.data_size);
  }
}

}  // namespace

SafeTensors read_safetensors(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path);
  const SafeTensorsParts parts = take_apart(path.string(), bytes);
  SafeTensors file;
  std::vector<Region> regions;
  for (const auto& [key, entry] : parts.header.items()) {
    try {
      if (key == "__metadata__") {
        file.metadata = entry.get<std::map<std::string, std::string>>();
      } else {
        file.tensors[key] = read_entry(parts, key, entry, regions.emplace_back());
      }
    } catch (const nlohmann::json::exception&) {
      base::fail_runtime(kSafeTensorsWhere, "{}: entry \"{}\" of the header is malformed",
                         parts.name, key);
    }
  }
  check_regions(parts, std::move(regions));
  return file;
}

void write_safetensors(const std::filesystem::path& path, const SafeTensors& file) {
  nlohmann::ordered_json header;
  if (!file.metadata.empty()) header["__metadata__"] = file.metadata;
  // Wider types first, so that every tensor is aligned to its element size.
  std::vector<std::pair<std::string, const NdArray*>> order;
  for (const auto& [key, array] : file.tensors) order.emplace_back(key, &array);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return dtype_size(a.second->dtype) > dtype_size(b.second->dtype);
  });
  size_t position = 0;
  for (const auto& [key, array] : order) {
    const auto type =
        std::find_if(type_names().begin(), type_names().end(),
                     [&, a = array](const auto& item) { return item.second == a->dtype; });
    header[key] = {{"dtype", type->first},
                   {"shape", array->shape},
                   {"data_offsets", {position, position + array->bytes.size()}}};
    position += array->bytes.size();
  }
  std::string text = header.is_null() ? "{}" : header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  std::string bytes(reinterpret_cast<const char*>(&length), 8);
  bytes.reserve(8 + text.size() + position);
  bytes += text;
  for (const auto& [key, array] : order) {
    bytes.append(reinterpret_cast<const char*>(array->bytes.data()), array->bytes.size());
  }
  write_file(path, bytes);
}

}  // namespace scorejet::io
