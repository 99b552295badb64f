// The part of a report that shows how training went: losses, gradient norms, learning rate.
// Add a plot in learning_curves.cc.
#pragma once

#include "src/report/html.h"
#include "src/report/metrics_log.h"

namespace scorejet::report {

// One plot for each loss_X (with validation_X if there is one), one of all grad_norm_X, one of
// learning_rate, and a table of first, last and lowest losses. A plot that cannot be drawn leaves a
// note with the reason.
void add_learning_curves(HtmlPage& page, const MetricsLog& log);

}  // namespace scorejet::report
