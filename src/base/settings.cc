#include "scorejet/settings.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "src/base/error.h"

namespace scorejet::base {
namespace {

template <typename T>
bool read_number(const std::string& text, T& value) {
  T read{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
  const bool good = error == std::errc() && end == text.data() + text.size();
  if (good) value = read;
  return good;
}

bool read_flag(const std::string& text, bool& value) {
  const bool on = text == "true" || text == "1", off = text == "false" || text == "0";
  if (on || off) value = on;
  return on || off;
}

}  // namespace

Choice::Choice(std::string& value, std::vector<std::string> names)
    : names_(names),
      get_([&value] { return value; }),
      set_([&value, names](size_t i) { value = names[i]; }) {}

bool Choice::set(const std::string& name) const {
  const auto found = std::find(names_.begin(), names_.end(), name);
  if (found == names_.end()) return false;
  set_(static_cast<size_t>(found - names_.begin()));
  return true;
}

Range at_least(double least) {
  return {fmt::format("at least {:g}", least), [least](double v) { return v >= least; }};
}

Range finite_at_least(double least) {
  return {at_least(least).text, [least](double v) { return v >= least && std::isfinite(v); }};
}

Range positive() {
  return {"positive", [](double v) { return v > 0 && std::isfinite(v); }};
}

Range positive_or_infinite() {
  return {"positive", [](double v) { return v > 0; }};
}

Range finite() {
  return {"finite", [](double v) { return std::isfinite(v); }};
}

std::string Setting::text() const {
  if (const auto* text = std::get_if<std::string*>(&value)) return **text;
  if (const auto* integer = std::get_if<int64_t*>(&value)) return std::to_string(**integer);
  if (const auto* number = std::get_if<double*>(&value)) return fmt::format("{}", **number);
  if (const auto* flag = std::get_if<bool*>(&value)) return **flag ? "true" : "false";
  return std::get<Choice>(value).get();
}

bool Setting::set(const std::string& text) {
  if (auto* string = std::get_if<std::string*>(&value)) {
    **string = text;
    return true;
  }
  if (auto* integer = std::get_if<int64_t*>(&value)) return read_number(text, **integer);
  if (auto* number = std::get_if<double*>(&value)) return read_number(text, **number);
  if (auto* flag = std::get_if<bool*>(&value)) return read_flag(text, **flag);
  return std::get<Choice>(value).set(text);
}

std::string Setting::type() const {
  constexpr const char* kTypes[] = {"a string", "an integer", "a number", "true or false",
                                    "a string"};
  return kTypes[value.index()];
}

std::string Setting::requirement() const {
  if (const auto* choice = std::get_if<Choice>(&value)) return any_of(choice->names());
  return range.text;
}

void Setting::check(std::string_view where) const {
  bool good = true;
  if (const auto* choice = std::get_if<Choice>(&value)) {
    const auto& names = choice->names();
    good = std::find(names.begin(), names.end(), choice->get()) != names.end();
  } else if (range.holds) {
    const auto* integer = std::get_if<int64_t*>(&value);
    good = range.holds(integer ? static_cast<double>(**integer) : *std::get<double*>(value));
  }
  if (!good) fail_argument(where, "{} must be {}; got {}", key, requirement(), text());
}

void append(Settings& settings, Settings more) {
  for (Setting& setting : more) settings.push_back(std::move(setting));
}

std::string any_of(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    text += (i == 0 ? "" : i + 1 < names.size() ? ", " : " or ") + names[i];
  }
  return text;
}

}  // namespace scorejet::base
