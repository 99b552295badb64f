// The one way an error is raised: one line, where it happened, what was required, what was found.
// Change the wording of every message here. Exceptions are the standard ones:
// invalid_argument (shape, dtype, usage), domain_error (a value), runtime_error (files,
// environment).
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace scorejet::base {

// Throws std::invalid_argument: the caller's shape, dtype, device or usage is wrong.
template <typename... Args>
[[noreturn]] void fail_argument(std::string_view where, fmt::format_string<Args...> text,
                                Args&&... args) {
  throw std::invalid_argument(
      fmt::format("[{}] {}", where, fmt::format(text, std::forward<Args>(args)...)));
}

// Throws std::domain_error: a value lies outside what the formula allows.
template <typename... Args>
[[noreturn]] void fail_domain(std::string_view where, fmt::format_string<Args...> text,
                              Args&&... args) {
  throw std::domain_error(
      fmt::format("[{}] {}", where, fmt::format(text, std::forward<Args>(args)...)));
}

// Throws std::runtime_error: a file or the environment is at fault.
template <typename... Args>
[[noreturn]] void fail_runtime(std::string_view where, fmt::format_string<Args...> text,
                               Args&&... args) {
  throw std::runtime_error(
      fmt::format("[{}] {}", where, fmt::format(text, std::forward<Args>(args)...)));
}

// The candidate nearest to `word` by edit distance, or "" when none is near enough to be a likely
// misspelling (more than half the letters differ).
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace scorejet::base
