#include "scorejet/io/csv.h"

#include <fmt/ranges.h>

#include <charconv>
#include <cstring>
#include <string_view>

#include "scorejet/base/error.h"
#include "scorejet/io/atomic_file.h"

namespace scorejet::io {
namespace {

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t comma = line.find(',');
    parts.push_back(trim(line.substr(0, comma)));
    if (comma == std::string_view::npos) return parts;
    line.remove_prefix(comma + 1);
  }
}

bool parse_number(std::string_view text, double& value) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::string unquoted(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    text = text.substr(1, text.size() - 2);
  }
  return std::string(text);
}

}  // namespace

CsvTable read_csv_table(const std::filesystem::path& path) {
  constexpr const char* kWhere = "io::read_csv";
  CsvTable result;
  const std::string text = read_text(path);
  std::string_view rest = text;
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);  // a byte order mark
  std::vector<double> values;
  size_t columns = 0;
  int64_t row = 0, rows = 0;
  while (!rest.empty()) {
    const size_t newline = rest.find('\n');
    const std::string_view line = trim(rest.substr(0, newline));
    rest.remove_prefix(newline == std::string_view::npos ? rest.size() : newline + 1);
    ++row;
    if (line.empty()) {
      if (trim(rest).find_first_not_of("\n") == std::string_view::npos) break;
      base::fail_runtime(kWhere, "{} row {}: must hold numbers; got a blank line", path.string(),
                         row);
    }
    const std::vector<std::string_view> parts = split(line);
    std::vector<double> numbers(parts.size());
    size_t bad = parts.size();
    for (size_t i = parts.size(); i-- > 0;) {
      if (!parse_number(parts[i], numbers[i])) bad = i;
    }
    if (bad < parts.size()) {
      if (row == 1) {  // a header
        columns = parts.size();
        for (const std::string_view part : parts) result.names.push_back(unquoted(part));
        continue;
      }
      base::fail_runtime(kWhere, "{} row {} column {}: must be a number; got \"{}\"", path.string(),
                         row, bad + 1, parts[bad]);
    }
    if (columns == 0) columns = parts.size();
    if (parts.size() != columns) {
      base::fail_runtime(kWhere, "{} row {}: must have {} columns; got {}", path.string(), row,
                         columns, parts.size());
    }
    values.insert(values.end(), numbers.begin(), numbers.end());
    ++rows;
  }
  if (rows == 0)
    base::fail_runtime(kWhere, "{}: must have rows of numbers; got none", path.string());
  result.values = make_array(DType::kFloat64, {rows, static_cast<int64_t>(columns)});
  std::memcpy(result.values.bytes.data(), values.data(), result.values.bytes.size());
  return result;
}

NdArray read_csv(const std::filesystem::path& path) { return read_csv_table(path).values; }

void write_csv(const std::filesystem::path& path, const NdArray& table,
               const std::vector<std::string>& header) {
  if (table.dtype != DType::kFloat64 || table.shape.size() != 2) {
    base::fail_argument("io::write_csv", "table must be float64 [rows, columns]; got {} {}",
                        dtype_name(table.dtype), shape_string(table.shape));
  }
  std::string text;
  if (!header.empty()) text = fmt::format("{}\n", fmt::join(header, ","));
  const double* value = table.data<double>();
  for (int64_t i = 0; i < table.shape[0]; ++i) {
    for (int64_t j = 0; j < table.shape[1]; ++j) {
      text += fmt::format("{}{}", *value++, j + 1 < table.shape[1] ? ',' : '\n');
    }
  }
  write_file(path, text);
}

}  // namespace scorejet::io
