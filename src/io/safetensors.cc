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

struct Region {
  uint64_t begin, end;
  std::string key;
};

}  // namespace

SafeTensors read_safetensors(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path);
  const std::string name = path.string();
  uint64_t length = 0;
  if (bytes.size() >= 8) std::memcpy(&length, bytes.data(), 8);
  if (bytes.size() < 8 || length > bytes.size() - 8) {
    base::fail_runtime(kSafeTensorsWhere,
                       "{}: truncated: the header needs {} bytes; the file has {}", name, length,
                       bytes.size());
  }
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + 8;
  const auto header = nlohmann::json::parse(text, text + length, nullptr, false);
  if (!header.is_object())
    base::fail_runtime(kSafeTensorsWhere, "{}: header must be a JSON object", name);
  const uint64_t data_size = bytes.size() - 8 - length;
  const std::byte* data = bytes.data() + 8 + length;

  SafeTensors file;
  std::vector<Region> regions;
  for (const auto& [key, value] : header.items()) {
    try {
      if (key == "__metadata__") {
        file.metadata = value.get<std::map<std::string, std::string>>();
        continue;
      }
      NdArray array;
      const auto dtype = value.at("dtype").get<std::string>();
      const auto found = std::find_if(type_names().begin(), type_names().end(),
                                      [&](const auto& item) { return item.first == dtype; });
      if (found == type_names().end()) {
        base::fail_runtime(kSafeTensorsWhere, "{}: {} must be U8, I32, I64, F32 or F64; got {}",
                           name, key, dtype);
      }
      array.dtype = found->second;
      array.shape = value.at("shape").get<std::vector<int64_t>>();
      const auto offsets = value.at("data_offsets").get<std::array<uint64_t, 2>>();
      uint64_t needed = dtype_size(array.dtype);
      for (int64_t size : array.shape) {
        const bool fits =
            size >= 0 && (size == 0 || needed <= data_size / static_cast<uint64_t>(size) + 8);
        needed = fits ? needed * static_cast<uint64_t>(size) : data_size + 1;
        if (!fits) break;
      }
      if (offsets[0] > offsets[1] || offsets[1] > data_size || offsets[1] - offsets[0] != needed) {
        base::fail_runtime(kSafeTensorsWhere,
                           "{}: {} {} needs {} bytes; its offsets are {}..{} of {}", name, key,
                           shape_string(array.shape), needed, offsets[0], offsets[1], data_size);
      }
      array.bytes.assign(data + offsets[0], data + offsets[1]);
      regions.push_back({offsets[0], offsets[1], key});
      file.tensors[key] = std::move(array);
    } catch (const nlohmann::json::exception&) {
      base::fail_runtime(kSafeTensorsWhere, "{}: entry \"{}\" of the header is malformed", name,
                         key);
    }
  }
  std::sort(regions.begin(), regions.end(), [](const Region& a, const Region& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t position = 0;
  for (const Region& region : regions) {
    if (region.begin != position) {
      base::fail_runtime(kSafeTensorsWhere, "{}: {} must start at byte {}; got {} (overlap or gap)",
                         name, region.key, position, region.begin);
    }
    position = region.end;
  }
  if (position != data_size) {
    base::fail_runtime(kSafeTensorsWhere, "{}: tensors fill {} bytes; got {}", name, position,
                       data_size);
  }
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
