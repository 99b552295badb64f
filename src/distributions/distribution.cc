#include "scorejet/distribution.h"

#include "src/base/check.h"

namespace scorejet::distributions {

void Distribution::check(const char* where, const at::Tensor& x, int order) const {
  base::check_shape(where, "x", x, {-1, dim()});
  base::check_floating(where, "x", x);
  base::check_finite(where, "x", x);
  if (order < 1 || order > max_order()) {
    base::fail_argument(where, "order must be 1, 2 or 3; got {}", order);
  }
}

}  // namespace scorejet::distributions
