// That a call is refused with an error of one line.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace scorejet::testing {

// `call` throws an Error whose message has `text` in it and no second line.
template <typename Error>
void expect_error(const std::function<void()>& call, const std::string& text) {
  try {
    call();
    ADD_FAILURE() << "no error; expected one with: " << text;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
  }
}

}  // namespace scorejet::testing
