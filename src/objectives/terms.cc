// The list of terms. Add yours here, twice: what its file defines, and its place in the list.
#include "src/objectives/terms.h"

#include "scorejet/loss_options.h"
#include "src/base/error.h"

namespace scorejet::objectives {

Term likelihood_term();  // likelihood.cc

const std::vector<Term>& terms() {
  static const std::vector<Term> list{likelihood_term()};
  return list;
}

TermWeights::TermWeights() : weights_(terms().size()) {}

base::Settings TermWeights::settings() {
  base::Settings all;
  for (size_t i = 0; i < terms().size(); ++i) {
    all.push_back(
        {"loss." + terms()[i].name, &weights_[i], terms()[i].help, base::finite_at_least(0)});
  }
  return all;
}

size_t TermWeights::place(const std::string& name) {
  for (size_t i = 0; i < terms().size(); ++i) {
    if (terms()[i].name == name) return i;
  }
  base::fail_argument("objectives::TermWeights", "name must be that of a term; got \"{}\"", name);
}

}  // namespace scorejet::objectives
