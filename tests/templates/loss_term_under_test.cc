// The loss term of templates/loss_term.cc passes what every term of the list must.
#include "tests/objectives/conformance.h"

namespace scorejet::objectives {

Term trace_term();  // templates/loss_term.cc

const std::vector<Term>& terms_under_test() {
  static const std::vector<Term> list{trace_term()};
  return list;
}

}  // namespace scorejet::objectives
