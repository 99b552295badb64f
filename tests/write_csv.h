// A float64 table [rows, columns] as a CSV file, for tests to read.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <vector>

#include "src/io/atomic_file.h"
#include "src/io/ndarray.h"

namespace scorejet::testing {

// A name as it must stand in a header: as it is, or in quotes with its own doubled.
inline std::string csv_name(const std::string& name) {
  const bool plain = name.find_first_of(",;\t\r\n\"") == name.npos && !name.starts_with(' ') &&
                     !name.ends_with(' ');
  if (plain) return name;
  std::string quoted = "\"";
  for (const char c : name) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

// `header` may be empty; otherwise one name a column.
inline void write_csv(const std::filesystem::path& path, const io::NdArray& table,
                      const std::vector<std::string>& header) {
  std::string text;
  for (size_t i = 0; i < header.size(); ++i) {
    text += csv_name(header[i]) + (i + 1 < header.size() ? ',' : '\n');
  }
  const double* value = table.data<double>();
  for (int64_t i = 0; i < table.shape[0]; ++i) {
    for (int64_t j = 0; j < table.shape[1]; ++j) {
      text += fmt::format("{}{}", *value++, j + 1 < table.shape[1] ? ',' : '\n');
    }
  }
  io::write_file(path, text);
}

}  // namespace scorejet::testing
