// Comma-separated numbers: rows are samples. A first row that is not numeric is taken as a header;
// names may stand in double quotes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "scorejet/io/ndarray.h"

namespace scorejet::io {

struct CsvTable {
  NdArray values;                  // float64 [rows, columns]
  std::vector<std::string> names;  // the header, or empty where there is none
};

// Blank lines at the end are skipped; "\r\n" is accepted. Errors: std::runtime_error naming file,
// row and column of a field that is no number, a row of another length (expected against found; the
// header is a row), a file without rows.
CsvTable read_csv_table(const std::filesystem::path& path);

// Its values alone.
NdArray read_csv(const std::filesystem::path& path);

// `header` may be empty; otherwise one name a column.
void write_csv(const std::filesystem::path& path, const NdArray& table,
               const std::vector<std::string>& header);

}  // namespace scorejet::io
