// A table of results as people and programs read it: CSV, JSON and Markdown.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace scorejet::reproduce {

// Rows are objects with the same keys in the same order: the columns.
using Rows = std::vector<nlohmann::ordered_json>;

// Writes STEM.csv and STEM.json (a list of objects). Numbers in full precision, null as an empty
// field. Errors: std::runtime_error naming the file.
void write_table(const std::filesystem::path& stem, const Rows& rows);

// The rows as a Markdown table, numbers to three significant digits.
std::string markdown_table(const Rows& rows);

// Mean and sample standard deviation (0 for a single value).
struct Spread {
  double mean = 0, deviation = 0;
};
Spread spread(const std::vector<double>& values);

}  // namespace scorejet::reproduce
