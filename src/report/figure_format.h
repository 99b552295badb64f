// The kinds of file that a figure can be written as.
// Add a kind here, its ending in figure_format.cc, and how it is drawn in canvas.cc and plot.cc.
#pragma once

#include <filesystem>
#include <string>

namespace scorejet::report {

enum class FigureFormat { kPng, kSvg, kPdf };

// By the end of the name: .png, .svg or .pdf. Errors: std::invalid_argument for another.
FigureFormat figure_format(const std::filesystem::path& path);

// The same bytes at every call: dates of the making, which PDF files hold, become 1 January 2000.
std::string without_dates(std::string pdf);

}  // namespace scorejet::report
