// One setting: where it is kept, what it means, what it may be. A struct of options lists its own
// once, in settings(); configuration files, --set, checks, help, checkpoints and
// docs/reference/settings.md all walk that list. Change how a setting is read or checked here.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace scorejet::base {

// A value out of a list of names.
class Choice {
 public:
  // Of an enum: its values, and the function that names each.
  template <typename E>
  Choice(E& value, std::vector<E> values, const char* (*name)(E))
      : get_([&value, name] { return std::string(name(value)); }),
        set_([&value, values](size_t i) { value = values[i]; }) {
    for (const E one : values) names_.emplace_back(name(one));
  }
  // Of a text.
  Choice(std::string& value, std::vector<std::string> names);

  const std::vector<std::string>& names() const { return names_; }
  std::string get() const { return get_(); }
  bool set(const std::string& name) const;  // false: no such name

 private:
  std::vector<std::string> names_;
  std::function<std::string()> get_;
  std::function<void(size_t)> set_;
};

// Which numbers are good, and the words for them after "must be". A NaN never is.
struct Range {
  std::string text;
  std::function<bool(double)> holds;
};
Range at_least(double least);         // infinity too
Range finite_at_least(double least);  // said like at_least
Range positive();                     // and finite
Range positive_or_infinite();         // said like positive
Range finite();

struct Setting {
  std::string key;  // section and name, "model.rank"
  std::variant<std::string*, int64_t*, double*, bool*, Choice> value;
  std::string help;  // meaning, unit
  Range range = {};  // of a number; none: any
  // For settings that checkpoints hold. One that came later than the first checkpoints must say
  // what those that lack it meant: whatever its default becomes, they load as the model they are.
  std::optional<std::string> before = {};
  std::function<bool()> recorded = {};  // where false, a checkpoint says nothing of it

  std::string text() const;           // the value as text: 0.5, true, low_rank
  bool set(const std::string& text);  // from such text; false when it is none
  std::string type() const;           // "a string", "an integer", "a number", "true or false"
  std::string requirement() const;    // "at least 1", "psd or free"; "" where all is good
  void check(std::string_view where) const;  // Errors: std::invalid_argument with key and value
};

using Settings = std::vector<Setting>;

// Appends `more` to `settings`.
void append(Settings& settings, Settings more);

// "auto, mlp or unet".
std::string any_of(const std::vector<std::string>& names);

}  // namespace scorejet::base
