// How the cost of the order-2 loss grows with the dimension and with the rank. Change the sizes in
// loss_scaling.cc.
#pragma once

#include "reproduce/shared/table.h"

namespace scorejet::reproduce {

struct LossScaling {
  Rows sizes;   // along, dim, rank, seconds, peak_mb
  Rows slopes;  // along, seconds, peak_mb: least squares of the logarithms
};

// Seconds and peak memory of the centred loss with variance reduction and its gradient, random
// numbers, 8 samples: D from 784 to 49,152 at rank 20, and r from 5 to 200 at D = 784. `fast`: the
// first three sizes of each.
LossScaling measure_loss_scaling(bool fast);

// The slope b of the least-squares line of ln y on ln x. Errors: std::invalid_argument for fewer
// than two points or lengths that differ.
double log_log_slope(const std::vector<double>& x, const std::vector<double>& y);

}  // namespace scorejet::reproduce
