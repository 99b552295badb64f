#include "scorejet/diagnostics.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include "src/base/check.h"

// Within this file a block of d coordinates is x [d, C, N]: chains and draws last, so that sorts,
// FFTs and sums run over contiguous memory.
namespace scorejet::sampling {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kMaxBlock = int64_t{1} << 21;  // numbers: 16 MiB a temporary, some 20 live

at::Tensor checked(const char* where, const at::Tensor& draws) {
  if (!draws.defined() || draws.dim() < 2 || draws.dim() > 3) {
    base::fail_argument(where, "draws must have shape [chains, draws, coordinates]; got {}",
                        draws.defined() ? fmt::format("{} dimensions", draws.dim()) : "nothing");
  }
  if (draws.size(0) < 1 || draws.size(1) < 1) {
    base::fail_argument(where, "draws must hold a draw of a chain; got {} chains of {} draws",
                        draws.size(0), draws.size(1));
  }
  return draws.dim() == 2 ? draws.unsqueeze(-1) : draws;
}

// Calls each(x [d, C, N]) on blocks of coordinates of draws [C, N, D], in float64.
template <typename Each>
void for_blocks(const at::Tensor& draws, const Each& each) {
  const int64_t width = std::max<int64_t>(1, kMaxBlock / (draws.size(0) * draws.size(1)));
  for (int64_t first = 0; first < draws.size(2); first += width) {
    const at::Tensor block = draws.narrow(2, first, std::min(width, draws.size(2) - first));
    each(block.permute({2, 0, 1}).to(at::kDouble).contiguous());
  }
}

// NaN in place of `value` [d] where the draws x [d, ...] are constant or not all finite.
at::Tensor where_varied(const at::Tensor& x, const at::Tensor& value) {
  const at::Tensor flat = x.flatten(1);
  const at::Tensor low = flat.amin(1), high = flat.amax(1);  // both NaN if any draw is
  const at::Tensor varied =
      at::isfinite(low).logical_and(at::isfinite(high)).logical_and(low < high);
  return at::where(varied, value, at::full({}, kNaN, value.options()));
}

at::Tensor split(const at::Tensor& x) {
  const int64_t half = x.size(2) / 2;
  return at::cat({x.narrow(2, 0, half), x.narrow(2, x.size(2) - half, half)}, 1);
}

// Φ⁻¹ of the ranks of x [d, m, n] among the m n draws of a coordinate, average ranks for ties.
at::Tensor normal_scores(const at::Tensor& x) {
  const auto [sorted, order] = x.flatten(1).sort(1);
  const int64_t last_place = sorted.size(1) - 1;
  const at::Tensor place = at::arange(last_place + 1, sorted.options());
  const at::Tensor differs = sorted.narrow(1, 1, last_place) != sorted.narrow(1, 0, last_place);
  const at::Tensor edge = at::ones({sorted.size(0), 1}, differs.options());
  // Each draw is given the first and the last place of the run of equal draws it stands in. Scans
  // take an eighth of the time of a binary search.
  const at::Tensor starts = at::cat({edge, differs}, 1), ends = at::cat({differs, edge}, 1);
  const auto [first, i] = at::where(starts, place, at::zeros_like(place)).cummax(1);
  const auto [last, j] = at::where(ends, place, at::full_like(place, last_place)).flip(1).cummin(1);
  const at::Tensor rank = (first + last.flip(1)) / 2 + 1;
  const at::Tensor score =
      at::special_ndtri((rank - 0.375) / (static_cast<double>(sorted.size(1)) + 0.25));
  return at::empty_like(score).scatter_(1, order, score).view(x.sizes());
}

// R-hat of x [d, m, n], as it is: neither split nor ranked.
at::Tensor plain_rhat(const at::Tensor& x) {
  const auto n = static_cast<double>(x.size(2));
  const at::Tensor between = x.mean(2).var(1), within = x.var(2).mean(1);
  return where_varied(x, (between / within + (n - 1) / n).sqrt());
}

// ρ_0 ... ρ_{n-1} of x [d, m, n], [d, n].
at::Tensor combined_autocorrelation(const at::Tensor& x) {
  const int64_t n = x.size(2), m = x.size(1);
  const at::Tensor mean = x.mean(2, true);
  int64_t padded = 1;  // >= 2 n: no wrap-around
  while (padded < 2 * n) padded *= 2;
  const at::Tensor spectrum = at::fft_rfft(x - mean, padded, 2);
  const at::Tensor power = at::view_as_real(spectrum).square().sum({1, 3});
  const auto num_draws = static_cast<double>(n);
  const at::Tensor covariance =
      at::fft_irfft(at::complex(power, at::zeros_like(power)), padded, 1).narrow(1, 0, n) /
      (num_draws * static_cast<double>(m));
  const at::Tensor biased = covariance.narrow(1, 0, 1);
  const at::Tensor within = biased * (num_draws / (num_draws - 1));
  const at::Tensor total = m > 1 ? biased + mean.squeeze(2).var(1, true, true) : biased;
  at::Tensor rho = 1 - (within - covariance) / total;
  rho.select(1, 0).fill_(1);
  return rho;
}

// The effective sample size of x [d, m, n], as it is: neither split nor ranked.
at::Tensor plain_ess(const at::Tensor& x) {
  const int64_t n = x.size(2);
  if (n < 6) return at::full({x.size(0)}, kNaN, x.options());
  const at::Tensor rho = combined_autocorrelation(x);
  // Geyer: the sums P_k = ρ_2k + ρ_2k+1 are positive and fall; they are used up to the first that
  // is not positive, and not to the very end of the chain, where they are noise.
  const int64_t num_pairs = (n - 4) / 2;
  const at::Tensor even = rho.slice(1, 0, 2 * num_pairs + 1, 2);
  const at::Tensor pairs = even.narrow(1, 0, num_pairs) + rho.slice(1, 1, 2 * num_pairs, 2);
  const at::Tensor used = (pairs > 0).to(at::kLong).cumprod(1);
  const at::Tensor falling = std::get<0>(pairs.cummin(1));
  // The even term after the last pair lowers the bias where draws alternate (section 3.2).
  const at::Tensor after = even.gather(1, used.sum(1, true)).squeeze(1).clamp_min(0);
  const auto size = static_cast<double>(x.size(1) * n);
  const at::Tensor tau =
      (-1 + 2 * at::where(used > 0, falling, at::zeros_like(falling)).sum(1) + after)
          .clamp_min(1 / std::log10(size));
  return where_varied(x, size / tau);
}

// The quantile of each row of `sorted` [d, S], linear between order statistics (type 7), [d].
at::Tensor sorted_quantile(const at::Tensor& sorted, double probability) {
  double place = static_cast<double>(sorted.size(1) - 1) * probability;
  if (std::abs(place - std::round(place)) < 1e-9) place = std::round(place);
  const auto low = static_cast<int64_t>(place);
  const at::Tensor value = sorted.select(1, low),
                   next = sorted.select(1, std::min(low + 1, sorted.size(1) - 1));
  return value + (place - static_cast<double>(low)) * (next - value);  // exact between equal ones
}

at::Tensor tail_ess(const at::Tensor& x, const at::Tensor& sorted) {
  const auto indicator_ess = [&](double probability) {
    const at::Tensor below = x <= sorted_quantile(sorted, probability).view({-1, 1, 1});
    return plain_ess(split(below.to(at::kDouble)));
  };
  return where_varied(x, at::minimum(indicator_ess(0.05), indicator_ess(0.95)));
}

// The coordinates of a block, in ChainSummary's order.
std::vector<at::Tensor> summarise_block(const at::Tensor& x) {
  const at::Tensor flat = x.flatten(1);
  const at::Tensor mean = flat.mean(1), sd = flat.std(1);
  if (x.size(2) < 4) {
    const at::Tensor none = at::full_like(mean, kNaN);
    return {mean, sd, none, none, none, none, none, none};
  }
  const at::Tensor sorted = std::get<0>(flat.sort(1));
  const at::Tensor folded = (x - sorted_quantile(sorted, 0.5).view({-1, 1, 1})).abs();
  const at::Tensor scores = normal_scores(split(x));
  const at::Tensor rhat = at::maximum(plain_rhat(scores), plain_rhat(normal_scores(split(folded))));
  const auto num_split = static_cast<double>(2 * x.size(1) * (x.size(2) / 2));
  const at::Tensor ess_mean = where_varied(x, plain_ess(split(x)));
  return {mean,
          sd,
          where_varied(x, rhat),
          where_varied(x, plain_ess(scores)),
          tail_ess(x, sorted),
          ess_mean,
          num_split / ess_mean,
          sd / ess_mean.sqrt()};
}

}  // namespace

ChainSummary summarise(const at::Tensor& draws) {
  const at::Tensor all = checked("sampling::summarise", draws);
  at::NoGradGuard no_grad;
  ChainSummary result;
  const std::vector<at::Tensor*> members = {&result.mean,     &result.sd,       &result.rhat,
                                            &result.ess_bulk, &result.ess_tail, &result.ess_mean,
                                            &result.tau,      &result.mcse_mean};
  for (at::Tensor* member : members) *member = at::empty({0}, all.options().dtype(at::kDouble));
  std::vector<std::vector<at::Tensor>> parts(members.size());
  for_blocks(all, [&](const at::Tensor& x) {
    const std::vector<at::Tensor> block = summarise_block(x);
    for (size_t i = 0; i < block.size(); ++i) parts[i].push_back(block[i]);
  });
  for (size_t i = 0; i < members.size(); ++i) {
    if (!parts[i].empty()) *members[i] = at::cat(parts[i]);
  }
  return result;
}

at::Tensor autocorrelation(const at::Tensor& draws, int64_t max_lag) {
  constexpr const char* kWhere = "sampling::autocorrelation";
  const at::Tensor all = checked(kWhere, draws);
  if (max_lag < 0 || max_lag >= all.size(1)) {
    base::fail_argument(kWhere, "max_lag must lie in 0..{} for {} draws; got {}", all.size(1) - 1,
                        all.size(1), max_lag);
  }
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> parts{at::empty({0, max_lag + 1}, all.options().dtype(at::kDouble))};
  for_blocks(all, [&](const at::Tensor& x) {
    const at::Tensor rho = combined_autocorrelation(x).narrow(1, 0, max_lag + 1);
    const at::Tensor varied = at::isfinite(where_varied(x, at::zeros_like(rho.select(1, 0))));
    parts.push_back(at::where(varied.unsqueeze(1), rho, at::full({}, kNaN, rho.options())));
  });
  return at::cat(parts);
}

}  // namespace scorejet::sampling
