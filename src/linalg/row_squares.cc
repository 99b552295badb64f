#include "src/linalg/row_squares.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "src/base/fast_paths.h"
#include "src/base/parallel.h"
#include "src/base/simd.h"

namespace scorejet::linalg {
namespace {

// out[i] = Σ_k columns[k length + i]². A register of rows at a time, so that their sums stay there.
template <int kBytes>
SCOREJET_INLINE void sum_columns(const float* columns, int64_t count, int64_t length, float* out) {
  using Lanes = typename base::Vector<float, kBytes>::Type;
  constexpr int64_t kLanes = base::Vector<float, kBytes>::kLanes;
  int64_t i = 0;
  for (; i + 4 * kLanes <= length; i += 4 * kLanes) {
    Lanes sum[4] = {};
    for (int64_t k = 0; k < count; ++k) {
      const auto* x = reinterpret_cast<const Lanes*>(columns + k * length + i);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) sum[j] += x[j] * x[j];
    }
    for (int j = 0; j < 4; ++j) reinterpret_cast<Lanes*>(out + i)[j] = sum[j];
  }
  for (; i < length; ++i) {
    float sum = 0;
    for (int64_t k = 0; k < count; ++k) sum += columns[k * length + i] * columns[k * length + i];
    out[i] = sum;
  }
}

// out[i] = Σ_k rows[i count + k]².
template <int kBytes>
SCOREJET_INLINE void sum_rows(const float* rows, int64_t count, int64_t length, float* out) {
  using Lanes = typename base::Vector<float, kBytes>::Type;
  constexpr int64_t kLanes = base::Vector<float, kBytes>::kLanes;
  for (int64_t i = 0; i < length; ++i) {
    const float* row = rows + i * count;
    Lanes sum = {};
    int64_t k = 0;
    for (; k + kLanes <= count; k += kLanes) {
      const Lanes x = *reinterpret_cast<const Lanes*>(row + k);
      sum += x * x;
    }
    float total = base::sum_lanes<float, kBytes>(sum);
    for (; k < count; ++k) total += row[k] * row[k];
    out[i] = total;
  }
}

struct Kernels {
  void (*columns)(const float* columns, int64_t count, int64_t length, float* out);
  void (*rows)(const float* rows, int64_t count, int64_t length, float* out);
};

#define SCOREJET_ROW_SQUARES(name, target_attribute, bytes)                                      \
  target_attribute void columns_##name(const float* f, int64_t count, int64_t length,            \
                                       float* out) {                                             \
    sum_columns<bytes>(f, count, length, out);                                                   \
  }                                                                                              \
  target_attribute void rows_##name(const float* f, int64_t count, int64_t length, float* out) { \
    sum_rows<bytes>(f, count, length, out);                                                      \
  }                                                                                              \
  Kernels table_##name() { return {columns_##name, rows_##name}; }

SCOREJET_ALL_TARGETS(SCOREJET_ROW_SQUARES)

}  // namespace

at::Tensor row_squares_plain(const at::Tensor& factor) { return factor.square().sum(-1); }

at::Tensor row_squares(const at::Tensor& factor) {
  const bool by_columns = factor.transpose(1, 2).is_contiguous();
  const bool learned = at::GradMode::is_enabled() && factor.requires_grad();
  if (!factor.device().is_cpu() || factor.scalar_type() != at::kFloat || learned ||
      !(by_columns || factor.is_contiguous()) || !base::fast(base::FastPath::kRowSquares)) {
    return row_squares_plain(factor);
  }
  static const Kernels kernels = SCOREJET_CHOOSE();
  const int64_t dim = factor.size(1), rank = factor.size(2);
  const at::Tensor out = at::empty({factor.size(0), dim}, factor.options());
  const auto* f = static_cast<const float*>(factor.data_ptr<float>());
  auto* sums = out.data_ptr<float>();
  const auto run = by_columns ? kernels.columns : kernels.rows;
  const int64_t grain = 1 + (1 << 16) / std::max<int64_t>(1, dim * rank);
  base::parallel_for(factor.size(0), grain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) run(f + n * dim * rank, rank, dim, sums + n * dim);
  });
  return out;
}

}  // namespace scorejet::linalg
