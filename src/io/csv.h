// Comma-separated numbers: rows are samples. A first row that is not numeric is taken as a header.
// Change what counts as a number or a header, and the guess of the separator, in csv.cc; quoting
// is libcsv's.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "src/io/ndarray.h"

namespace scorejet::io {

struct CsvTable {
  NdArray values;                  // float64 [rows, columns]
  std::vector<std::string> names;  // the header, or empty where there is none
  std::string notice = {};         // one line for the user about what was guessed, or ""
};

// Quoting as RFC 4180 has it: commas, line breaks and doubled quotes may stand in quoted fields;
// quoted numbers are numbers. Lines end with LF, CRLF or CR; blank lines at the end are skipped.
// Columns stand between commas, or semicolons or tabs where the first two rows say so (`notice`).
// A first row is a header when fewer than half of its fields are numbers, or all are quoted and
// those of the second are not. A first column called
// nothing (or "Unnamed: 0") that counts the rows from 0 or 1 is left out (`notice`).
// Errors: std::runtime_error naming file, row and column of a field that is no number (a decimal
// comma among them), a row of another length (expected against found; the header is a row), text
// after a closing quote, a quote that is never closed, whole numbers that may be halves of decimal
// commas, UTF-16, another column without a name, a file without rows.
CsvTable read_csv_table(const std::filesystem::path& path);

}  // namespace scorejet::io
