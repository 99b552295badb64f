#include "reproduce/shared/table.h"

#include <fmt/format.h>

#include <cmath>

#include "src/io/atomic_file.h"

namespace scorejet::reproduce {
namespace {

using Json = nlohmann::ordered_json;

std::string field(const Json& value, const char* number_format) {
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format(fmt::runtime(number_format), value.get<double>());
  return value.dump();
}

}  // namespace

void write_table(const std::filesystem::path& stem, const Rows& rows) {
  std::string csv;
  Json list = Json::array();
  for (const Json& row : rows) {
    std::string header, line;
    for (const auto& [key, value] : row.items()) {
      header.append(header.empty() ? "" : ",").append(key);
      line.append(line.empty() ? "" : ",").append(field(value, "{}"));
    }
    if (csv.empty()) csv = header + "\n";
    csv.append(line).append("\n");
    list.push_back(row);
  }
  io::write_file(stem.string() + ".csv", csv);
  io::write_file(stem.string() + ".json", list.dump(1) + "\n");
}

std::string markdown_table(const Rows& rows) {
  if (rows.empty()) return "";
  std::string text = "|", rule = "|";
  for (const auto& [key, value] : rows[0].items()) {
    std::string title = key;
    for (char& c : title) c = c == '_' ? ' ' : c;
    text.append(" ").append(title).append(" |");
    rule.append("---|");
  }
  text.append("\n").append(rule).append("\n");
  for (const Json& row : rows) {
    text += "|";
    for (const auto& [key, value] : row.items()) {
      text.append(" ").append(field(value, "{:.3g}")).append(" |");
    }
    text.append("\n");
  }
  return text;
}

Spread spread(const std::vector<double>& values) {
  Spread result;
  const auto count = static_cast<double>(values.size());
  for (const double value : values) result.mean += value / count;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  if (values.size() > 1) result.deviation = std::sqrt(squares / (count - 1));
  return result;
}

}  // namespace scorejet::reproduce
