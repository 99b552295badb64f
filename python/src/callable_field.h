// Any Python callable f(x, sigma) as a ScoreField. Change what such a callable may do, and what is
// said of one that does something else, in callable_field.cc.
#pragma once

#include <string>
#include <vector>

#include "python/src/bindings.h"
#include "scorejet/torchscript_field.h"

namespace scorejet::python {

struct CallableOptions {
  std::vector<int64_t> shape;  // of one sample as f takes it; its product is D
  score::Prediction predicts = score::Prediction::kClean;
  double sigma_min = 0, sigma_max = 0;  // the range f is good for; 0: any
  bool second_order = false;            // f.both(x, sigma) -> (f(x, sigma), s2)
};

// s1 (and s2) from Python. x [B, *shape] and sigma [B] go over as they are, on their device, with
// their graph; f is called under the GIL, by the thread that called scorejet.
class __attribute__((visibility("hidden"))) CallableField : public score::ScoreField {
 public:
  CallableField(py::object f, const CallableOptions& options);
  ~CallableField() override;

  int64_t dim() const override { return dim_; }
  int max_order() const override { return options_.second_order ? 2 : 1; }

  // Errors: as ScoreField::evaluate(); std::invalid_argument for what f returned (not a tensor,
  // another shape, device or kind of numbers), for an f that changes its input, and for one that is
  // to be differentiated and has no graph. An exception of f's own passes through.
  using ScoreField::evaluate;
  score::Jet evaluate(const at::Tensor& x, const at::Tensor& sigma, int order) const override;

 private:
  // What f (or, with `s2`, f.both) returned, as [B, D].
  at::Tensor call(const at::Tensor& x, const at::Tensor& sigma,
                  std::optional<linalg::SymmetricOperator>* s2) const;

  py::object f_;
  CallableOptions options_;
  int64_t dim_ = 1;
};

}  // namespace scorejet::python
