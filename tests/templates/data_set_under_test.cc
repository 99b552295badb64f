// The data set of templates/data_set.cc passes what every entry of the list must.
#include "tests/data/conformance.h"

namespace scorejet::data {

Source template_data_set();  // templates/data_set.cc

const std::vector<Source>& sources_under_test() {
  static const std::vector<Source> list{template_data_set()};
  return list;
}

}  // namespace scorejet::data
