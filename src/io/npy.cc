#include "src/io/npy.h"

#include <charconv>
#include <cstring>

#include "src/base/error.h"
#include "src/io/atomic_file.h"

namespace scorejet::io {
namespace {

constexpr const char* kNpyWhere = "io::read_npy";
constexpr char kMagic[] = "\x93NUMPY";

// The value of `key` in the header's Python dictionary: the text up to the next top-level comma.
std::string header_value(const std::string& header, const std::string& key,
                         const std::string& name) {
  const size_t found = header.find("'" + key + "'");
  const size_t colon = found == std::string::npos ? found : header.find(':', found);
  if (colon == std::string::npos) {
    base::fail_runtime(kNpyWhere, "{}: header must have '{}'; got {}", name, key, header);
  }
  size_t begin = header.find_first_not_of(' ', colon + 1);
  size_t end = begin;
  for (int depth = 0; end < header.size(); ++end) {
    const char c = header[end];
    if (c == '(') ++depth;
    if (c == ')') --depth;
    if (depth == 0 && (c == ',' || c == '}')) break;
  }
  if (begin == std::string::npos) begin = end;
  return header.substr(begin, end - begin);
}

DType parse_dtype(const std::string& text, const std::string& name) {
  if (text == "'|u1'" || text == "'|b1'") return DType::kUInt8;
  if (text == "'<i4'") return DType::kInt32;
  if (text == "'<i8'") return DType::kInt64;
  if (text == "'<f4'") return DType::kFloat32;
  if (text == "'<f8'") return DType::kFloat64;
  base::fail_runtime(kNpyWhere, "{}: element type must be u1, b1, <i4, <i8, <f4 or <f8; got {}",
                     name, text);
}

// More bytes than any file holds, few enough that no product of sizes below it overflows.
constexpr int64_t kLargestArray = int64_t{1} << 56;

// Sizes of "(3, 4)".
std::vector<int64_t> parse_shape(const std::string& text, const std::string& name) {
  std::vector<int64_t> shape;
  int64_t total = 8;  // bytes of the widest element
  const char* position = text.data();
  const char* end = position + text.size();
  bool good = text.size() >= 2 && text.front() == '(' && text.back() == ')';
  if (good) ++position, --end;
  while (good) {
    while (position < end && (*position == ' ' || *position == ',')) ++position;
    if (position == end) return shape;
    int64_t size = 0;
    const auto [next, error] = std::from_chars(position, end, size);
    good = error == std::errc() && size >= 0 && (size == 0 || total <= kLargestArray / size);
    if (good && size > 0) total *= size;
    shape.push_back(size);
    position = next;
  }
  base::fail_runtime(kNpyWhere, "{}: shape must be a tuple of sizes; got {}", name, text);
}

// Elements of a Fortran-ordered array, rearranged into C order.
void to_c_order(NdArray& array) {
  const size_t element = dtype_size(array.dtype);
  const std::vector<std::byte> source = array.bytes;
  std::vector<int64_t> index(array.shape.size(), 0);
  const auto count = static_cast<size_t>(array.num_elements());
  for (size_t position = 0; position < count; ++position) {
    int64_t offset = 0;
    for (size_t axis = array.shape.size(); axis-- > 0;) {
      offset = offset * array.shape[axis] + index[axis];
    }
    std::memcpy(array.bytes.data() + position * element,
                source.data() + static_cast<size_t>(offset) * element, element);
    for (size_t axis = array.shape.size(); axis-- > 0;) {
      if (++index[axis] < array.shape[axis]) break;
      index[axis] = 0;
    }
  }
}

const char* dtype_code(DType dtype) {
  switch (dtype) {
    case DType::kUInt8:
      return "|u1";
    case DType::kInt32:
      return "<i4";
    case DType::kInt64:
      return "<i8";
    case DType::kFloat32:
      return "<f4";
    case DType::kFloat64:
      return "<f8";
  }
  return "";
}

}  // namespace

NdArray parse_npy(std::span<const std::byte> bytes, const std::string& name) {
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  if (bytes.size() < 10 || std::memcmp(data, kMagic, 6) != 0) {
    base::fail_runtime(kNpyWhere, "{}: must start with NumPy's magic bytes; got another file",
                       name);
  }
  const int version = data[6];
  const size_t prefix = version == 1 ? 10 : 12;
  if (version < 1 || version > 3 || bytes.size() < prefix) {
    base::fail_runtime(kNpyWhere, "{}: format version must be 1, 2 or 3; got {}", name, version);
  }
  size_t length = data[8] | static_cast<size_t>(data[9]) << 8;
  if (version > 1)
    length |= static_cast<size_t>(data[10]) << 16 | static_cast<size_t>(data[11]) << 24;
  if (bytes.size() - prefix < length) {
    base::fail_runtime(kNpyWhere, "{}: truncated: the header needs {} bytes; got {}", name, length,
                       bytes.size() - prefix);
  }
  const std::string header(reinterpret_cast<const char*>(data) + prefix, length);
  NdArray array;
  array.dtype = parse_dtype(header_value(header, "descr", name), name);
  const std::string order = header_value(header, "fortran_order", name);
  const size_t available = bytes.size() - prefix - length;
  array.shape = parse_shape(header_value(header, "shape", name), name);
  const size_t expected = static_cast<size_t>(array.num_elements()) * dtype_size(array.dtype);
  if (expected != available) {
    base::fail_runtime(kNpyWhere, "{}: {} {} needs {} bytes of data; got {}", name,
                       dtype_name(array.dtype), shape_string(array.shape), expected, available);
  }
  array.bytes.assign(bytes.begin() + static_cast<std::ptrdiff_t>(prefix + length), bytes.end());
  if (order == "True") {
    to_c_order(array);
  } else if (order != "False") {
    base::fail_runtime(kNpyWhere, "{}: fortran_order must be True or False; got {}", name, order);
  }
  return array;
}

std::string format_npy(const NdArray& array) {
  std::string shape;
  for (int64_t size : array.shape) shape += fmt::format("{}, ", size);
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
                                   dtype_code(array.dtype), shape);
  // (3, 4, ) is a valid tuple to Python; () is that of a scalar.
  const size_t padded = (10 + header.size() + 1 + 63) / 64 * 64;
  header.resize(padded - 11, ' ');
  header += '\n';
  std::string text(kMagic, 6);
  text += {'\x01', '\x00', static_cast<char>(header.size() & 0xff),
           static_cast<char>(header.size() >> 8)};
  text += header;
  text.append(reinterpret_cast<const char*>(array.bytes.data()), array.bytes.size());
  return text;
}

NdArray read_npy(const std::filesystem::path& path) {
  return parse_npy(read_file(path), path.string());
}

void write_npy(const std::filesystem::path& path, const NdArray& array) {
  write_file(path, format_npy(array));
}

}  // namespace scorejet::io
