// One self-contained web page: styles inside, pictures embedded, nothing fetched, no scripts.
// Change the look of reports in the style sheet of html.cc; add a kind of block here.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace scorejet::report {

// Text as HTML shows it: & < > " ' escaped; control characters and bytes that are not UTF-8 become
// the replacement character.
std::string escape_html(std::string_view text);

// The same for a table's cell: words stay whole, but for very long ones (paths, digests), which may
// break at their joints.
std::string escape_cell(std::string_view text);

std::string encode_base64(std::string_view bytes);

struct Card {
  std::string value, label;
};

// Blocks appear in the order of the calls. Every text is escaped; none is read as HTML.
class HtmlPage {
 public:
  explicit HtmlPage(std::string title);

  // Level 1 to 3. Errors: std::invalid_argument for another level.
  void heading(int level, std::string_view text);
  void paragraph(std::string_view text);
  void note(std::string_view text);        // set apart: something is missing or needs care
  void code_block(std::string_view text);  // line breaks and spaces stay
  void cards(const std::vector<Card>& cards);
  void key_values(const std::vector<std::pair<std::string, std::string>>& rows);
  // Errors: std::invalid_argument for a row of another length than the header.
  void table(const std::vector<std::string>& header,
             const std::vector<std::vector<std::string>>& rows);
  // The bytes of a PNG or an SVG file.
  void figure(std::string_view picture, std::string_view caption);

  std::string str() const;  // the whole page

 private:
  std::string title_, body_;
};

}  // namespace scorejet::report
