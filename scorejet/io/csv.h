// Comma-separated numbers: rows are samples. A first row that is not numeric is taken as a header.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "scorejet/io/ndarray.h"

namespace scorejet::io {

// A float64 array [rows, columns]. Blank lines at the end are skipped; "\r\n" is accepted.
// Errors: std::runtime_error naming file, row and column of a field that is no number, a row of
// another length (expected against found), a file without rows.
NdArray read_csv(const std::filesystem::path& path);

// `header` may be empty; otherwise one name a column.
void write_csv(const std::filesystem::path& path, const NdArray& table,
               const std::vector<std::string>& header);

}  // namespace scorejet::io
