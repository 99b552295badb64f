// Endings of figure files.
#include "src/report/figure_format.h"

#include <algorithm>
#include <string_view>

#include "src/base/error.h"

namespace scorejet::report {

FigureFormat figure_format(const std::filesystem::path& path) {
  const std::string ending = path.extension().string();
  if (ending == ".png") return FigureFormat::kPng;
  if (ending == ".svg") return FigureFormat::kSvg;
  if (ending == ".pdf") return FigureFormat::kPdf;
  base::fail_argument("report::figure_format",
                      "the name of a figure must end in .png, .svg or .pdf; got {}", path.string());
}

std::string without_dates(std::string pdf) {
  constexpr std::string_view kKey = "/CreationDate (D:", kDate = "20000101000000";
  const size_t found = pdf.find(kKey);
  if (found == std::string::npos) return pdf;
  const size_t begin = found + kKey.size(), end = pdf.find(')', begin);
  for (size_t i = begin, k = 0; i < std::min(end, pdf.size()); ++i) {  // places in it must stay
    if (pdf[i] >= '0' && pdf[i] <= '9') pdf[i] = k < kDate.size() ? kDate[k++] : '0';
  }
  return pdf;
}

}  // namespace scorejet::report
