// The style sheet of reports and the HTML of each kind of block.
#include "src/report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "src/base/error.h"

namespace scorejet::report {
namespace {

constexpr std::string_view kStyle = R"(
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 62rem; background: #fff;
  color: #22262e; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans",
  sans-serif; -webkit-text-size-adjust: 100%; }
main { overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; padding-top: .7rem; border-top: 1px solid #dfe3e8; }
h3 { font-size: 1.02rem; margin: 1.6rem 0 .4rem; }
p { margin: .5rem 0; max-width: 46rem; }
.note { background: #fdf6e3; border-left: 3px solid #d9a92b; padding: .5rem .8rem; font-size: .93rem; }
pre { background: #f5f6f8; border: 1px solid #e4e7eb; border-radius: 6px; padding: .7rem .9rem;
  white-space: pre-wrap; font: .85rem/1.5 ui-monospace, "SF Mono", Consolas, "DejaVu Sans Mono",
  monospace; }
pre span { white-space: nowrap; }
.cards { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1rem 0; }
.card { flex: 1 1 9.5rem; border: 1px solid #dfe3e8; border-radius: 8px; padding: .7rem .9rem; }
.card b { display: block; font-size: 1.4rem; line-height: 1.3; font-weight: 600;
  font-variant-numeric: tabular-nums; }
.card span { font-size: .82rem; line-height: 1.35; color: #5d6570; display: block; }
.scroll { overflow-x: auto; margin: .7rem 0; }
table { border-collapse: collapse; font-size: .93rem; }
th, td { text-align: left; vertical-align: top; padding: .28rem 1.4rem .28rem 0;
  border-bottom: 1px solid #eceff2; }
th { font-weight: 500; color: #5d6570; }
td { font-variant-numeric: tabular-nums; }
thead th { border-bottom: 1px solid #b9c0ca; }
tbody th { min-width: 9rem; }
figure { margin: 1.1rem 0; overflow-x: auto; }
figure img { max-width: max(100%, 34rem); height: auto; display: block; }
figcaption { font-size: .9rem; color: #5d6570; margin-top: .35rem; max-width: 46rem; }
@media (min-width: 40rem) { tbody th { white-space: nowrap; } }
@media print { body { max-width: none; padding: 0; font-size: 11pt; }
  h2, h3 { break-after: avoid; } figure, .card, tr { break-inside: avoid; } }
)";

constexpr size_t kLongestWord = 28;  // bytes of a table's word that stay on one line

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Bytes of the valid UTF-8 character that starts at `text[i]`, 0 when there is none.
size_t utf8_length(std::string_view text, size_t i) {
  const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char lead = byte(i);
  const size_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (length == 0 || lead > 0xF4 || i + length > text.size()) return 0;
  for (size_t k = 1; k < length; ++k) {
    if ((byte(i + k) & 0xC0) != 0x80) return 0;
  }
  // Overlong forms, surrogates and what lies beyond U+10FFFF.
  if (lead == 0xE0 && byte(i + 1) < 0xA0) return 0;
  if (lead == 0xED && byte(i + 1) > 0x9F) return 0;
  if (lead == 0xF0 && byte(i + 1) < 0x90) return 0;
  if (lead == 0xF4 && byte(i + 1) > 0x8F) return 0;
  return length;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    if (length == 0 || (byte < 0x20 && c != '\n' && c != '\t' && c != '\r') || byte == 0x7F) {
      result += kReplacement;
    } else if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '"') {
      result += "&quot;";
    } else if (c == '\'') {
      result += "&#39;";
    } else {
      result += text.substr(i, length);
    }
    i += length == 0 ? 1 : length;
  }
  return result;
}

std::string escape_cell(std::string_view text) {
  std::string result;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    std::string_view word = text.substr(begin, end - begin);
    while (word.size() > kLongestWord) {
      const size_t joint = word.find_last_of("/,;=_-.", kLongestWord - 1);
      size_t size = joint == word.npos || joint + 1 < kLongestWord / 4 ? kLongestWord : joint + 1;
      while (size < word.size() && (word[size] & 0xC0) == 0x80) ++size;  // within a character
      result += escape_html(word.substr(0, size)) + "<wbr>";
      word.remove_prefix(size);
    }
    result += escape_html(word);
    if (end < text.size()) result += ' ';
    begin = end + 1;
  }
  return result;
}

std::string encode_base64(std::string_view bytes) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  result.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) {
      const size_t at = i + k;
      group = group << 8 | (at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0u);
    }
    for (size_t k = 0; k < 4; ++k) {
      result += i + k <= bytes.size() ? kLetters[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return result;
}

HtmlPage::HtmlPage(std::string title) : title_(std::move(title)) {}

void HtmlPage::heading(int level, std::string_view text) {
  if (level < 1 || level > 3) {
    base::fail_argument("report::HtmlPage::heading", "level must lie in 1..3; got {}", level);
  }
  body_ += fmt::format("<h{0}>{1}</h{0}>\n", level, escape_html(text));
}

void HtmlPage::paragraph(std::string_view text) {
  body_ += fmt::format("<p>{}</p>\n", escape_html(text));
}

void HtmlPage::note(std::string_view text) {
  body_ += fmt::format("<p class=\"note\">{}</p>\n", escape_html(text));
}

void HtmlPage::code_block(std::string_view text) {
  // An option stays whole: browsers would break a line behind its hyphens.
  std::string code = escape_html(text);
  for (size_t i = 0; (i = code.find(" --", i)) != code.npos;) {
    const size_t end = std::min(code.find_first_of(" \n=", i + 1), code.size());
    code.insert(end, "</span>");
    code.insert(i + 1, "<span>");
    i = end;
  }
  body_ += fmt::format("<pre><code>{}</code></pre>\n", code);
}

void HtmlPage::cards(const std::vector<Card>& cards) {
  body_ += "<div class=\"cards\">\n";
  for (const Card& card : cards) {
    body_ += fmt::format("<div class=\"card\"><b>{}</b><span>{}</span></div>\n",
                         escape_html(card.value), escape_html(card.label));
  }
  body_ += "</div>\n";
}

void HtmlPage::key_values(const std::vector<std::pair<std::string, std::string>>& rows) {
  body_ += "<div class=\"scroll\"><table><tbody>\n";
  for (const auto& [key, value] : rows) {
    body_ += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escape_cell(key),
                         escape_cell(value));
  }
  body_ += "</tbody></table></div>\n";
}

void HtmlPage::table(const std::vector<std::string>& header,
                     const std::vector<std::vector<std::string>>& rows) {
  std::string text = "<div class=\"scroll\"><table><thead><tr>";
  for (const std::string& name : header) {
    text += fmt::format("<th scope=\"col\">{}</th>", escape_cell(name));
  }
  text += "</tr></thead><tbody>\n";
  for (const std::vector<std::string>& row : rows) {
    if (row.size() != header.size()) {
      base::fail_argument("report::HtmlPage::table", "every row must have {} cells; got {}",
                          header.size(), row.size());
    }
    text += "<tr>";
    for (const std::string& cell : row) text += fmt::format("<td>{}</td>", escape_cell(cell));
    text += "</tr>\n";
  }
  body_ += text + "</tbody></table></div>\n";
}

void HtmlPage::figure(std::string_view picture, std::string_view caption) {
  const std::string escaped = escape_html(caption);
  body_ += fmt::format(
      "<figure><img alt=\"{}\" src=\"data:image/{};base64,{}\"><figcaption>{}</figcaption>"
      "</figure>\n",
      escaped, picture.starts_with("\x89PNG") ? "png" : "svg+xml", encode_base64(picture), escaped);
}

std::string HtmlPage::str() const {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n</"
      "html>\n",
      escape_html(title_), kStyle, body_);
}

}  // namespace scorejet::report
