// The network of templates/network.cc passes what every family of the list must.
#include "tests/nets/conformance.h"

namespace scorejet::nets {

Family& waves_family();  // templates/network.cc

const std::vector<Family*>& families_under_test() {
  static const std::vector<Family*> list{&waves_family()};
  return list;
}

}  // namespace scorejet::nets
