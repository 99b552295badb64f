// The loss terms that conformance_test.cc holds to what a term must do: each binary that runs it
// says which (all_terms.cc: the whole list).
#pragma once

#include <vector>

#include "src/objectives/terms.h"

namespace scorejet::objectives {

const std::vector<Term>& terms_under_test();

}  // namespace scorejet::objectives
