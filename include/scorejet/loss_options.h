// Settings of the loss: which terms, how they are weighed, how their gradients are bounded. Add
// one: a member and a line in settings(). The weights of optional terms of order two are those of
// the list in src/objectives/terms.cc.
#pragma once

#include <string>
#include <vector>

#include "scorejet/settings.h"

namespace scorejet::objectives {

// What s2 is regressed on.
enum class Form {
  kProduct,  // ψ = s2 + s1 s1ᵀ against (zzᵀ − I)/σ² (Meng et al. 2021)
  kCentred,  // s2 against (rrᵀ − I)/σ², r = z + σ s1, s1 held constant (after Lu et al. 2022)
  kSketch    // s2 v against J v, J = ∂s1/∂x of the learned s1, v random: distils its Jacobian
};

const char* form_name(Form form);  // "product", "centred", "sketch"
// Errors: std::invalid_argument naming the text and the names that exist.
Form parse_form(const std::string& text);

// A weight for each optional term of order two, 0 unless set.
class TermWeights {
 public:
  TermWeights();
  // Errors: std::invalid_argument for a name that no term has.
  double& operator[](const std::string& name) { return weights_[place(name)]; }
  double operator[](const std::string& name) const { return weights_[place(name)]; }
  base::Settings settings();  // loss.NAME of each

 private:
  static size_t place(const std::string& name);

  std::vector<double> weights_;
};

struct LossOptions {
  Form form = Form::kCentred;
  bool variance_reduction = true;  // fades out where σ is not small, sample by sample
  // Order 1 at σ is weighed by (sigma_reference/σ)^sigma_power. What the preconditioner leaves to
  // explain can be explained more fully the less noise there is, so that unweighted losses and
  // their gradients are mostly those of the largest σ. The reference is the largest σ that is
  // trained on: no setting of its own.
  double sigma_power = 0, sigma_reference = 1;
  double gamma = 0.1;
  // Order 2 at x̃ is weighed by (tr Cov(x̃) / its size before anything is known)^-variance_power,
  // with the model's own covariance. Squared losses of a covariance are mostly those of the few
  // samples of large variance; the minimiser is the same. Without variance reduction only.
  double variance_power = 0;
  TermWeights terms = {};  // of optional terms within order 2
  double leading = 0;      // weight of leading_loss within order 2; needs a low rank
  double gamma3 = 0.01;
  double clip_norm = 1.0;
  double trunk_share = 1.0;

  // Whether the Jacobian of s1 is looked at.
  bool uses_jacobian() const { return form == Form::kSketch || leading > 0; }

  base::Settings settings() {
    base::Settings all{
        {"loss.form",
         base::Choice(form, {Form::kCentred, Form::kProduct, Form::kSketch}, form_name),
         "what s2 is regressed on"},
        {"loss.variance_reduction", &variance_reduction,
         "antithetic pair and control variate: three evaluations a sample, needed at small sigma"},
        {"loss.sigma_power", &sigma_power,
         "the first-order loss at a sigma is weighed by (noise.sigma_max/sigma) to this; 0: all "
         "alike",
         base::finite()},
        {"loss.gamma", &gamma, "weight of the second-order loss beside the first",
         base::positive()},
        {"loss.variance_power", &variance_power,
         "the second-order loss at a noisy sample is weighed by its posterior variance to minus "
         "this; 0: all alike, so that it is mostly that of a few samples",
         base::finite_at_least(0)}};
    base::append(all, terms.settings());
    base::append(
        all,
        {{"loss.leading", &leading,
          "weight of the leading directions of s1's Jacobian in the second-order loss, which "
          "low_rank alone has",
          base::finite_at_least(0)},
         {"loss.gamma3", &gamma3, "weight of the third-order loss beside the first",
          base::positive()},
         {"train.clip_norm", &clip_norm, "largest gradient norm of each order's parameters",
          base::positive_or_infinite()},
         {"train.trunk_share", &trunk_share,
          "largest norm of a higher order's gradient at a shared trunk, relative to those below",
          base::at_least(0)}});
    return all;
  }
};

}  // namespace scorejet::objectives
