// Facts of a run as people read them: names for keys, numbers to four digits, percent, units.
// Give a key its readable name, or show it as percent, in the list of facts.cc.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

namespace scorejet::report {

// Four significant digits, no needless exponent: 24.81, 0.0512, 1.234e-07, 123457.
std::string format_number(double value);

// "PSNR denoised [dB]" for psnr_denoised; keys not in the list get their underscores removed.
std::string fact_name(const std::string& key);

// A JSON value as text: numbers by format_number or as percent, whole numbers whole, null "n/a",
// short lists joined by commas.
std::string fact_text(const std::string& key, const nlohmann::ordered_json& value);

// The rows of a key/value table: every entry but those of `left_out`. Objects become one row per
// entry; lists of objects are left out (they are tables of their own).
std::vector<std::pair<std::string, std::string>> fact_rows(
    const nlohmann::ordered_json& facts, const std::vector<std::string>& left_out = {});

}  // namespace scorejet::report
