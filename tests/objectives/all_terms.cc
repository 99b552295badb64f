#include "tests/objectives/conformance.h"

namespace scorejet::objectives {

const std::vector<Term>& terms_under_test() { return terms(); }

}  // namespace scorejet::objectives
