// libcsv splits the text into fields; here they become numbers, names and errors.
#include "src/io/csv.h"

#include <csv.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

#include "src/base/error.h"
#include "src/io/atomic_file.h"

namespace scorejet::io {
namespace {

constexpr const char* kCsvWhere = "io::read_csv";
constexpr size_t kCsvChunk = size_t{1} << 20;  // bytes between two looks at whether reading failed
constexpr size_t kShownBytes = 60;             // of a field, in a message

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

enum class Field { kNumber, kOutOfRange, kText };

Field parse_field(std::string_view text, double& value) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return Field::kText;
  }
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (text.empty() || end != last || error == std::errc::invalid_argument) return Field::kText;
  return error == std::errc() ? Field::kNumber : Field::kOutOfRange;
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// A field as messages show it, and what may have been meant.
std::string fault_text(std::string_view text) {
  std::string fault = fmt::format("{:?}", text.substr(0, kShownBytes));
  if (text.size() > kShownBytes) fault += fmt::format("... ({} bytes)", text.size());
  std::string pointed(text);
  std::replace(pointed.begin(), pointed.end(), ',', '.');
  double value = 0;
  if (pointed != text && parse_field(pointed, value) == Field::kNumber) {
    fault += " (write numbers with a decimal point, without commas)";
  }
  return fault;
}

struct Dialect {
  char separator = ',';
  bool quoted_header = false;  // the first row quotes every field, the second does not
};

// The columns stand between semicolons or tabs where both of the first two rows hold equally many,
// else between commas. A tab beside commas is padding.
Dialect guess_dialect(std::string_view text) {
  struct Counts {
    int64_t semicolons = 0, tabs = 0, commas = 0, quotes = 0;
  };
  Counts counts[2];
  int row = 0;
  for (size_t begin = 0; begin < text.size() && row < 2; ++row) {
    bool quoted = false;
    size_t end = begin;
    for (; end < text.size(); ++end) {
      if (text[end] == '"') quoted = !quoted;
      if (!quoted && (text[end] == '\n' || text[end] == '\r')) break;
    }
    quoted = false;
    for (const char c : trim(text.substr(begin, end - begin))) {
      if (c == '"') quoted = !quoted;
      counts[row].quotes += c == '"';
      if (quoted) continue;
      counts[row].semicolons += c == ';';
      counts[row].tabs += c == '\t';
      counts[row].commas += c == ',';
    }
    begin = end + 1 + (text.substr(end, 2) == "\r\n" ? 1 : 0);
  }
  if (row < 2) counts[1] = counts[0];
  const auto agree = [&](int64_t Counts::*kind) {
    return counts[0].*kind > 0 && counts[0].*kind == counts[1].*kind;
  };
  Dialect dialect;
  int64_t separators = counts[0].commas;
  if (agree(&Counts::semicolons)) {
    dialect.separator = ';';
    separators = counts[0].semicolons;
  } else if (agree(&Counts::tabs) && std::min(counts[0].commas, counts[1].commas) == 0) {
    dialect.separator = '\t';
    separators = counts[0].tabs;
  }
  dialect.quoted_header =
      counts[0].quotes >= 2 * (separators + 1) && counts[1].quotes < counts[0].quotes;
  return dialect;
}

// Takes the fields and row ends of libcsv. The first fault is kept: no exception may pass through
// a library of C.
class TableBuilder {
 public:
  explicit TableBuilder(bool quoted_header) : quoted_header_(quoted_header) {}

  void take_field(std::string_view text) {
    if (failed()) return;
    if (blank_row_ > 0) {
      return fail("row {}: must hold numbers; got a blank line", blank_row_);
    }
    after_return_ = false;
    ++fields_;
    double value = 0;
    Field kind = parse_field(text, value);
    if (kind == Field::kText) kind = parse_field(trim(text), value);  // blanks within quotes
    if (first_row_) {
      first_text_ += text;
      first_ends_.push_back(first_text_.size());
      first_numbers_ += kind != Field::kText;
      if (kind != Field::kNumber && first_fault_ == 0) first_fault_ = fields_;
    } else if (kind != Field::kNumber) {
      return fail("row {} column {}: must be a number; got {}", row_, fields_, fault_text(text));
    }
    halves_ =
        halves_ && all_digits(fields_ % 2 == 0 || !text.starts_with('-') ? text : text.substr(1));
    leading_zero_ = leading_zero_ || (fields_ == 2 && text.size() > 1 && text[0] == '0');
    values_.push_back(value);
  }

  void end_row(int end) {
    if (failed()) return;
    if (fields_ == 0 && end == '\n' && after_return_) {  // the second half of CRLF
      after_return_ = false;
      return;
    }
    after_return_ = end == '\r';
    if (fields_ == 0) {
      if (blank_row_ == 0) blank_row_ = row_;
    } else if (first_row_) {
      end_first_row();
    } else if (columns_ != fields_) {
      return fail("row {}: must have {} columns; got {}{}", row_, columns_, fields_,
                  fields_ == 2 * columns_ && halves_ ? " (decimal commas? write points)" : "");
    }
    fields_ = 0;
    ++row_;
  }

  template <typename... Args>
  void fail(fmt::format_string<Args...> text, Args&&... args) {
    if (fault_.empty()) fault_ = fmt::format(text, std::forward<Args>(args)...);
  }
  bool failed() const { return !fault_.empty(); }

  // The table, or the fault as an exception.
  CsvTable finish(const std::filesystem::path& path) {
    if (!failed() && names_.empty() && columns_ == 2 && halves_ && leading_zero_) {
      fail(
          "must not hold whole numbers like 05 in column 2 without a header, for they may be "
          "halves "
          "of decimal commas: write decimal points, or name the two columns in a first row");
    }
    if (failed()) base::fail_runtime(kCsvWhere, "{} {}", path.string(), fault_);
    if (values_.empty()) {
      base::fail_runtime(kCsvWhere, "{}: must have rows of numbers; got none", path.string());
    }
    CsvTable table;
    if (drop_row_numbers()) {
      table.notice =
          fmt::format("{}: the first column counts its rows and is left out", path.string());
    }
    const auto unnamed = std::find(names_.begin(), names_.end(), "");
    if (unnamed != names_.end()) {
      base::fail_runtime(kCsvWhere, "{} row 1 column {}: must have a name; got \"\"", path.string(),
                         unnamed - names_.begin() + 1);
    }
    const int64_t rows = static_cast<int64_t>(values_.size()) / columns_;
    table.values = make_array(DType::kFloat64, {rows, columns_});
    std::memcpy(table.values.bytes.data(), values_.data(), table.values.bytes.size());
    table.names = std::move(names_);
    return table;
  }

  // `rest` times what has come so far will follow.
  void expect(double rest) {
    values_.reserve(static_cast<size_t>(static_cast<double>(values_.size()) * (1.05 + rest)));
  }
  int64_t row() const { return row_; }

 private:
  // pandas and R write the numbers of the rows as a first column without a name.
  bool drop_row_numbers() {
    if (columns_ < 2 || names_.empty() || !(names_[0].empty() || names_[0] == "Unnamed: 0")) {
      return false;
    }
    const auto columns = static_cast<size_t>(columns_);
    const double first = values_[0];
    if (first != 0 && first != 1) return false;
    for (size_t i = 0; i < values_.size() / columns; ++i) {
      if (values_[i * columns] != first + static_cast<double>(i)) return false;
    }
    size_t kept = 0;
    for (size_t i = 0; i < values_.size(); ++i) {
      if (i % columns != 0) values_[kept++] = values_[i];
    }
    values_.resize(kept);
    names_.erase(names_.begin());
    --columns_;
    return true;
  }

  // Decides between a header and numbers.
  void end_first_row() {
    columns_ = fields_;
    first_row_ = false;
    if (first_fault_ == 0 && !quoted_header_) return;
    const auto at = [&](int64_t column) {
      const auto i = static_cast<size_t>(column - 1);
      const size_t begin = i == 0 ? 0 : first_ends_[i - 1];
      return std::string_view(first_text_).substr(begin, first_ends_[i] - begin);
    };
    if (2 * first_numbers_ >= fields_ && !quoted_header_) {
      return fail(
          "row {} column {}: must be a number; got {}; such a row is a header only with all "
          "its fields quoted",
          row_, first_fault_, fault_text(at(first_fault_)));
    }
    for (int64_t i = 1; i <= fields_; ++i) names_.emplace_back(at(i));
    values_.clear();
    halves_ = true;
    leading_zero_ = false;
  }

  std::vector<double> values_;
  std::vector<std::string> names_;
  std::string fault_;
  int64_t row_ = 1, fields_ = 0, columns_ = 0, blank_row_ = 0;
  bool after_return_ = false;
  // Of the first row: its fields one after another, with their ends.
  bool first_row_ = true;
  const bool quoted_header_;
  std::string first_text_;
  std::vector<size_t> first_ends_;
  int64_t first_numbers_ = 0, first_fault_ = 0;
  // Whether all fields could be halves of numbers with decimal commas, and whether one must be.
  bool halves_ = true, leading_zero_ = false;
};

void field_callback(void* bytes, size_t size, void* builder) {
  static_cast<TableBuilder*>(builder)->take_field({static_cast<const char*>(bytes), size});
}

void row_callback(int end, void* builder) { static_cast<TableBuilder*>(builder)->end_row(end); }

void parse_text(std::string_view text, char separator, TableBuilder& builder) {
  csv_parser parser;
  csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL);
  csv_set_delim(&parser, static_cast<unsigned char>(separator));
  csv_set_blk_size(&parser, 4096);
  for (bool first = true; !text.empty() && !builder.failed(); first = false) {
    const size_t size = std::min(text.size(), kCsvChunk);
    if (csv_parse(&parser, text.data(), size, field_callback, row_callback, &builder) != size) {
      builder.fail("row {}: quotes must enclose a whole field, those inside it doubled; got {}",
                   builder.row(), csv_strerror(csv_error(&parser)));
    }
    text.remove_prefix(size);
    if (first) builder.expect(static_cast<double>(text.size()) / static_cast<double>(size));
  }
  if (!builder.failed() && csv_fini(&parser, field_callback, row_callback, &builder) != 0) {
    builder.fail("row {}: a quoted field must end; got the end of the file", builder.row());
  }
  csv_free(&parser);
}

}  // namespace

CsvTable read_csv_table(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  std::string_view rest = text;
  if (rest.starts_with("\xFF\xFE") || rest.starts_with("\xFE\xFF")) {
    base::fail_runtime(kCsvWhere, "{} must be UTF-8 text; got UTF-16", path.string());
  }
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);  // a byte order mark
  const auto [separator, quoted_header] = guess_dialect(rest);
  TableBuilder builder(quoted_header);
  parse_text(rest, separator, builder);
  CsvTable table = builder.finish(path);
  if (separator != ',') {
    table.notice +=
        fmt::format("{}{}: columns are taken to stand between {}", table.notice.empty() ? "" : "; ",
                    path.string(), separator == ';' ? "semicolons" : "tabs");
  }
  return table;
}

}  // namespace scorejet::io
