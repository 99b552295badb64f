// Which plots of the training are made, with which axes.
#include "src/report/learning_curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "src/report/facts.h"
#include "src/report/plot.h"

namespace scorejet::report {
namespace {

constexpr std::string_view kLoss = "loss_";
constexpr std::string_view kGradient = "grad_norm_";
constexpr size_t kLargestSvg = 500'000;  // bytes; a PNG shows longer curves as well

std::string order_name(const std::string& order) {
  if (order == "s1") return "first-order score";
  if (order == "s2") return "second-order score";
  if (order == "s3") return "third-order score";
  return order;
}

// The keys that begin with `prefix`, without it.
std::vector<std::string> orders_of(const MetricsLog& log, std::string_view prefix) {
  std::vector<std::string> orders;
  for (const auto& [key, curve] : log.curves) {
    if (key.starts_with(prefix)) orders.push_back(key.substr(prefix.size()));
  }
  return orders;
}

void add_plot(HtmlPage& page, const std::vector<Series>& series, const PlotOptions& options,
              std::string caption) {
  PlotResult plot = format_plot(series, options, FigureFormat::kSvg);
  if (plot.picture.size() > kLargestSvg) plot = format_plot(series, options, FigureFormat::kPng);
  if (!plot.written) {
    page.note(fmt::format("The plot \"{}\" was left out: {}.", options.title, plot.reason));
    return;
  }
  if (plot.num_dropped > 0) {
    caption += fmt::format(" {} point{} without a finite{} value left out.", plot.num_dropped,
                           plot.num_dropped == 1 ? "" : "s", options.log_y ? " positive" : "");
  }
  page.figure(plot.picture, caption);
}

// A loss often falls by orders of magnitude within its first steps, after which nothing else could
// be told apart: the frame then keeps the bulk of the values. Absent when all fit well.
std::optional<ValueRange> frame_of_bulk(std::vector<double> values) {
  values.erase(std::remove_if(values.begin(), values.end(),
                              [](double value) { return !std::isfinite(value); }),
               values.end());
  if (values.size() < 20) return std::nullopt;
  std::sort(values.begin(), values.end());
  const auto quantile = [&](double share) {
    return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
  };
  const double low = quantile(0.01), high = quantile(0.96), span = high - low;
  if (!(span > 0) || values.back() - values.front() < 2.5 * span) return std::nullopt;
  return ValueRange{low - 0.12 * span, high + 0.12 * span};
}

void add_loss(HtmlPage& page, const MetricsLog& log, const std::string& order) {
  const Curve& train = log.curves.at(std::string(kLoss) + order);
  std::vector<Series> series = {{"training", train.steps, train.values, SeriesStyle::kFaintLine}};
  std::vector<double> values = train.values;
  std::string caption = fmt::format("Loss of the {} over the training steps", order_name(order));
  const auto validation = log.curves.find("validation_" + order);
  if (validation != log.curves.end()) {
    const Curve& curve = validation->second;
    series.push_back({"validation", curve.steps, curve.values, SeriesStyle::kMarkedLine});
    values.insert(values.end(), curve.values.begin(), curve.values.end());
    caption += ", on training batches (faint) and on held-out data (marked)";
  }
  caption += ".";
  PlotOptions options;
  options.title = fmt::format("Loss of the {}", order_name(order));
  options.xlabel = "step";
  options.ylabel = "loss";
  options.y_range = frame_of_bulk(values);
  if (options.y_range) caption += " Values far from the bulk lie outside the frame.";
  add_plot(page, series, options, caption);
}

// [first, last, lowest with its step] of the finite values; empty when there is none.
std::vector<std::string> summary_cells(const Curve& curve) {
  std::vector<size_t> finite;
  for (size_t i = 0; i < curve.values.size(); ++i) {
    if (std::isfinite(curve.values[i])) finite.push_back(i);
  }
  if (finite.empty()) return {};
  const size_t lowest = *std::min_element(finite.begin(), finite.end(), [&](size_t a, size_t b) {
    return curve.values[a] < curve.values[b];
  });
  return {format_number(curve.values[finite.front()]), format_number(curve.values[finite.back()]),
          format_number(curve.values[lowest]), fmt::format("{:.0f}", curve.steps[lowest])};
}

}  // namespace

void add_learning_curves(HtmlPage& page, const MetricsLog& log) {
  if (log.num_lines == 0) {
    page.note("No training metrics have been recorded yet.");
    return;
  }
  std::vector<std::vector<std::string>> rows;
  for (const std::string& order : orders_of(log, kLoss)) {
    for (const std::string& key : {std::string(kLoss) + order, "validation_" + order}) {
      const auto curve = log.curves.find(key);
      if (curve == log.curves.end()) continue;
      std::vector<std::string> cells = summary_cells(curve->second);
      if (cells.empty()) continue;
      cells.insert(cells.begin(), fact_name(key));
      rows.push_back(std::move(cells));
    }
  }
  if (!rows.empty()) page.table({"", "First", "Last", "Lowest", "at step"}, rows);

  for (const std::string& order : orders_of(log, kLoss)) add_loss(page, log, order);

  std::vector<Series> norms;
  for (const std::string& order : orders_of(log, kGradient)) {
    const Curve& curve = log.curves.at(std::string(kGradient) + order);
    norms.push_back({order_name(order), curve.steps, curve.values, SeriesStyle::kLine});
  }
  PlotOptions options;
  options.xlabel = "step";
  options.height = 300;
  if (!norms.empty()) {
    options.title = "Gradient norms";
    options.ylabel = "norm";
    options.log_y = true;
    add_plot(page, norms, options, "Norm of the gradient of each loss, logarithmic scale.");
  }
  const auto rate = log.curves.find("learning_rate");
  if (rate != log.curves.end()) {
    options.title = "Learning rate";
    options.ylabel = "learning rate";
    options.log_y = false;
    add_plot(page, {{"", rate->second.steps, rate->second.values, SeriesStyle::kLine}}, options,
             "Learning rate over the training steps.");
  }
}

}  // namespace scorejet::report
