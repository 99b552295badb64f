// A term of the second-order loss to copy: the squared error of the posterior's total variance. Put
// the copy into src/objectives/, and its function into terms.cc: its weight is then the setting
// loss.trace, in files, --set, help and docs/reference/settings.md, and training adds it.
//
// ½ (|r|² − tr C)²/D with the residual r = z + σ s1 and C = I + σ² s2: given x̃, |r|² has the mean
// tr C at the true scores, so that the loss is least there. It says nothing of single directions.
#include <ATen/ATen.h>

#include "src/base/check.h"
#include "src/objectives/terms.h"

namespace scorejet::objectives {
namespace {

at::Tensor trace_loss(const at::Tensor& s1, const linalg::SymmetricOperator& s2,
                      const at::Tensor& z, const at::Tensor& sigma) {
  constexpr const char* kWhere = "objectives::trace_loss";
  base::check_shape(kWhere, "z", z, {-1, -1});
  base::check_shape(kWhere, "s1", s1, z.sizes());
  base::check_shape(kWhere, "sigma", sigma, {z.size(0)});
  base::check_shape(kWhere, "s2", s2.diagonal(), z.sizes());
  const auto d = static_cast<double>(z.size(1));
  const at::Tensor r = z + sigma.unsqueeze(1) * s1.detach();
  const at::Tensor variance = d + sigma.square() * s2.trace();
  return 0.5 * (r.square().sum(1) - variance).square() / d;
}

}  // namespace

Term trace_term() {
  return {.name = "trace",
          .help =
              "weight of the squared error of the posterior's total variance in the "
              "second-order loss",
          .loss = trace_loss};
}

}  // namespace scorejet::objectives
