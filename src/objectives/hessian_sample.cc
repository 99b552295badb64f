#include "src/objectives/hessian_sample.h"

#include <algorithm>
#include <cstring>

#include "src/base/simd.h"
#include "src/objectives/factor_kernels.h"

namespace scorejet::objectives {
namespace {

constexpr int64_t kBlockFloats = 1 << 16;  // of rows: half a second-level cache
constexpr int64_t kBlock = 1008;           // at most: longer ones gain nothing
constexpr int64_t kLine = 16;              // floats of a cache line

// An odd number of lines, so that rows do not fall on the same places of the cache.
int64_t row_stride(int64_t length) {
  const int64_t lines = pad(length, kLine) / kLine;
  return (lines + 1 - lines % 2) * kLine;
}

// Σ_{i < count} f(i) in sixteen sums side by side, which the compiler vectorises.
template <typename F>
double lane_sum(int64_t count, const F& f) {
  float lanes[16] = {};
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (int j = 0; j < 16; ++j) lanes[j] += f(i + j);
  }
  double sum = 0;
  for (; i < count; ++i) sum += static_cast<double>(f(i));
  for (float lane : lanes) sum += static_cast<double>(lane);
  return sum;
}

double dot(const float* x, const float* y, int64_t count) {
  return lane_sum(count, [=](int64_t i) { return x[i] * y[i]; });
}

// Σ_ij x_ij y_ij over n x n.
double product(const float* x, int64_t x_stride, const float* y, int64_t y_stride, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += dot(x + i * x_stride, y + i * y_stride, n);
  return sum;
}

void mirror(float* matrix, int64_t stride, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) matrix[i * stride + j] = matrix[j * stride + i];
  }
}

// The transpose of four rows of four.
void transpose4(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
  using V = base::Vector<float, 16>::Type;
  V row[4];
  for (int k = 0; k < 4; ++k) row[k] = *reinterpret_cast<const V*>(from + k * from_stride);
  const V low01 = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
  const V high01 = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
  const V low23 = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
  const V high23 = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
  *reinterpret_cast<V*>(to) = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
  *reinterpret_cast<V*>(to + to_stride) = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
  *reinterpret_cast<V*>(to + 2 * to_stride) = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
  *reinterpret_cast<V*>(to + 3 * to_stride) = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
}

// to[j to_stride + i] = from[i from_stride + j] for i < rows, j < columns. The longer of the two
// goes by once: of the shorter every cache line stays until it is done with.
void transpose(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
               int64_t to_stride) {
  const int64_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  const auto block = [=](int64_t i, int64_t j) {
    transpose4(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
  };
  if (rows > columns) {
    for (int64_t i = 0; i < whole_rows; i += 4) {
      for (int64_t j = 0; j < whole_columns; j += 4) block(i, j);
    }
  } else {
    for (int64_t j = 0; j < whole_columns; j += 4) {
      for (int64_t i = 0; i < whole_rows; i += 4) block(i, j);
    }
  }
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = i < whole_rows ? whole_columns : 0; j < columns; ++j) {
      to[j * to_stride + i] = from[i * from_stride + j];
    }
  }
}

void copy_padded(const float* from, int64_t length, float* to) {
  std::memcpy(to, from, static_cast<size_t>(length) * sizeof(float));
  std::fill(to + length, to + pad(length, kLengthPad), 0.0F);
}

int64_t block_length(int64_t dim, int64_t rows) {
  const int64_t fitting = kBlockFloats / rows / kLengthPad * kLengthPad;
  return std::min(pad(dim, kLengthPad), std::clamp(fitting, kLengthPad, kBlock));
}

std::vector<float> floats(int64_t count) { return std::vector<float>(static_cast<size_t>(count)); }

}  // namespace

HessianSample::HessianSample(int64_t dim, int64_t rank)
    : dim_(dim),
      rank_(rank),
      columns_(pad(rank, kColumnPad)),
      width_(pad(rank + 2, 4)),
      block_(block_length(dim, rank + 2)),
      stride_(row_stride(block_)) {
  // Products are made of three rows by four, so there are zero rows after the last.
  const int64_t rows = pad(rank + 2, kRowPad) + 3;
  rows_ = floats(rows * stride_);
  weighted_ = floats(rows * stride_);
  products_ = floats(rows * width_);
  weighted_products_ = floats(rows * width_);
  gram_ = floats(columns_ * columns_);
  gram_squared_ = floats(columns_ * columns_);
  for (std::vector<float>* v : {&a_, &squares_, &sums_, &weight_, &scale_, &quadratic_}) {
    *v = floats(block_);
  }
}

int64_t HessianSample::coefficient_count(HessianTerm term) const {
  switch (term) {
    case HessianTerm::kProduct:
      return (rank_ + 2) * columns_;
    case HessianTerm::kCentred:
      return (rank_ + 1) * columns_;
    case HessianTerm::kProductClean:
      return columns_;
    case HessianTerm::kCentredClean:
      break;
  }
  return (2 * rank_ + 2) * columns_;
}

void HessianSample::load(const HessianPoint& p, int64_t begin, int64_t length) {
  const int64_t padded = pad(length, kLengthPad);
  const float* factor = p.factor + begin * p.along;
  if (p.along == 1) {
    for (int64_t k = 0; k < rank_; ++k) {
      copy_padded(factor + k * p.across, length, rows_.data() + k * stride_);
    }
  } else {
    transpose(factor, p.along, length, rank_, rows_.data(), stride_);
    for (int64_t k = 0; k < rank_; ++k) {
      float* row = rows_.data() + k * stride_;
      std::fill(row + length, row + padded, 0.0F);
    }
  }
  copy_padded(p.diagonal + begin, length, a_.data());
  float* first = rows_.data() + rank_ * stride_;
  float* second = first + stride_;
  copy_padded(p.z + begin, length, first);
  switch (p.term) {
    case HessianTerm::kProduct:
    case HessianTerm::kProductClean:
      copy_padded(p.s1 + begin, length, second);
      break;
    case HessianTerm::kCentred:
      for (int64_t d = 0; d < length; ++d) first[d] = p.sign * first[d] + p.sigma * p.s1[begin + d];
      break;
    case HessianTerm::kCentredClean:
      for (int64_t d = 0; d < padded; ++d) second[d] = a_[static_cast<size_t>(d)] * first[d];
      break;
  }
}

// The products of all rows with each other, over all coordinates; the sum of what is not in them.
double HessianSample::accumulate(const HessianPoint& p) {
  const FactorKernels& kernels = factor_kernels();
  const float variance = p.sigma * p.sigma, precision = 1 / variance;
  std::fill(products_.begin(), products_.end(), 0.0F);
  std::fill(weighted_products_.begin(), weighted_products_.end(), 0.0F);
  double sum = 0;
  for (int64_t begin = 0; begin < dim_; begin += block_) {
    const int64_t length = std::min(block_, dim_ - begin), padded = pad(length, kLengthPad);
    load(p, begin, length);
    kernels.reduce_rows(rows_.data(), rank_, stride_, padded, nullptr, squares_.data(), nullptr);
    const float *a = a_.data(), *q = squares_.data();
    const float *v = rows_.data() + rank_ * stride_, *s = v + stride_;
    switch (p.term) {
      case HessianTerm::kProduct:
        sum += lane_sum(padded, [=](int64_t d) {
          return a[d] * (0.5F * a[d] + q[d] + (1 - v[d] * v[d]) * precision + s[d] * s[d]);
        });
        break;
      case HessianTerm::kCentred:
        sum += lane_sum(padded, [=](int64_t d) {
          return a[d] * (0.5F * a[d] + q[d] + (1 - v[d] * v[d]) * precision);
        });
        break;
      case HessianTerm::kProductClean:
        sum -= lane_sum(padded,
                        [=](int64_t d) { return (a[d] * (1 - v[d] * v[d]) + q[d]) * precision; });
        break;
      case HessianTerm::kCentredClean:
        sum -= lane_sum(padded, [=](int64_t d) {
          const float c = 1 + variance * a[d];
          return (a[d] * c * c * (1 - v[d] * v[d]) + q[d] * c * (2 * variance * a[d] + c)) *
                 precision;
        });
        break;
    }
    if (p.term == HessianTerm::kProductClean) {
      kernels.multiply(v, 3, rows_.data(), width_, stride_, padded, false, products_.data());
      continue;
    }
    kernels.multiply(rows_.data(), pad(rank_ + 2, 3), rows_.data(), width_, stride_, padded, true,
                     products_.data());
    if (p.term == HessianTerm::kCentredClean) {
      for (int64_t k = 0; k < rank_; ++k) {
        const float* row = rows_.data() + k * stride_;
        float* out = weighted_.data() + k * stride_;
        for (int64_t d = 0; d < padded; ++d) out[d] = a[d] * row[d];
      }
      kernels.multiply(weighted_.data(), pad(rank_, 3), rows_.data(), width_, stride_, padded, true,
                       weighted_products_.data());
    }
  }
  return sum;
}

double HessianSample::evaluate(const HessianPoint& p, float* coefficients) {
  const double sum = accumulate(p);
  switch (p.term) {
    case HessianTerm::kProduct:
    case HessianTerm::kCentred:
      return sum + finish_pair(p, coefficients);
    case HessianTerm::kProductClean:
      return sum + finish_product_clean(p, coefficients);
    case HessianTerm::kCentredClean:
      break;
  }
  return sum + finish_centred_clean(p, coefficients);
}

// With G = BᵀB, p = Bᵀv and, in the product form, q = Bᵀs, s = s1:
//   ½‖G‖² + (tr G − ‖p‖²)/σ²  [+ ‖q‖² + ½ (s·s)² + (s·s − (s·v)²)/σ²]
// and the gradient in B is 2 [(a + 1/σ²) ∘ B + B G − v pᵀ/σ²  [+ s qᵀ]].
double HessianSample::finish_pair(const HessianPoint& p, float* coefficients) {
  const double precision = 1 / (static_cast<double>(p.sigma) * static_cast<double>(p.sigma));
  const bool with_score = p.term == HessianTerm::kProduct;
  mirror(products_.data(), width_, rank_);
  const auto entry = [&](int64_t i, int64_t j) {
    return static_cast<double>(products_[static_cast<size_t>(i * width_ + j)]);
  };
  double value = 0.5 * product(products_.data(), width_, products_.data(), width_, rank_);
  for (int64_t k = 0; k < rank_; ++k) {
    value += (entry(k, k) - entry(k, rank_) * entry(k, rank_)) * precision;
    if (with_score) value += entry(k, rank_ + 1) * entry(k, rank_ + 1);
  }
  if (with_score) {
    const double square = entry(rank_ + 1, rank_ + 1), along = entry(rank_, rank_ + 1);
    value += 0.5 * square * square + (square - along * along) * precision;
  }
  if (!coefficients) return value;
  for (int64_t l = 0; l < rank_; ++l, coefficients += columns_) {
    std::copy_n(products_.data() + l * width_, rank_, coefficients);
    std::fill(coefficients + rank_, coefficients + columns_, 0.0F);
  }
  const auto write = [&](int64_t column, double factor) {
    for (int64_t k = 0; k < columns_; ++k) {
      coefficients[k] = k < rank_ ? static_cast<float>(factor * entry(k, column)) : 0.0F;
    }
    coefficients += columns_;
  };
  write(rank_, -precision);
  if (with_score) write(rank_ + 1, 1);
  return value;
}

// With p = Bᵀz: (‖p‖² − s·s + (s·z)²)/σ²; gradient −2/σ² [B − z pᵀ].
double HessianSample::finish_product_clean(const HessianPoint& p, float* coefficients) const {
  const float *z = products_.data(), *s = z + width_;
  const auto square = [](float x) { return static_cast<double>(x) * static_cast<double>(x); };
  double value = square(z[rank_ + 1]) - static_cast<double>(s[rank_ + 1]);
  for (int64_t k = 0; k < rank_; ++k) value += square(z[k]);
  if (coefficients) {
    for (int64_t k = 0; k < columns_; ++k) coefficients[k] = k < rank_ ? -z[k] : 0.0F;
  }
  return value / square(p.sigma);
}

// With c = 1 + σ² a, G = BᵀB, A = Bᵀ diag(a) B, H = Bᵀ diag(c) B = G + σ² A, p = Bᵀz, α = Bᵀ(a z),
// β = Bᵀ(a² z), w = C z = c z + σ² B p and t = Bᵀw = p + σ² α + σ² G p:
//   tr ChC = Σ c² ‖B_i‖² + Σ a (c² + 2 σ² c ‖B_i‖²) + σ⁴ ⟨A, G⟩ + 2 σ² ⟨H, G⟩ + σ⁴ tr G³
//   wᵀhw = Σ a c² z² + 2 σ² p·(α + σ² β) + σ⁴ pᵀ A p + ‖t‖²
// and the gradient in B is −2/σ² [c² ∘ B + c ∘ (σ² B G − z tᵀ) + B (σ² H + σ⁴ G² − σ² p tᵀ)].
double HessianSample::finish_centred_clean(const HessianPoint& point, float* coefficients) {
  const float variance = point.sigma * point.sigma;
  const auto variance_d = static_cast<double>(variance);
  mirror(products_.data(), width_, rank_);
  mirror(weighted_products_.data(), width_, rank_);
  const float *g = products_.data(), *a = weighted_products_.data();
  for (int64_t l = 0; l < rank_; ++l) {
    std::copy_n(g + l * width_, rank_, gram_.data() + l * columns_);
  }
  factor_kernels().square_product(gram_.data(), gram_.data(), columns_, gram_squared_.data());
  const double ag = product(a, width_, g, width_, rank_), gg = product(g, width_, g, width_, rank_);
  const double cube = product(gram_squared_.data(), columns_, g, width_, rank_);
  double trace = variance_d * (3 * variance_d * ag + 2 * gg + variance_d * cube);
  std::vector<float> t(static_cast<size_t>(columns_)), p(static_cast<size_t>(columns_));
  for (int64_t k = 0; k < rank_; ++k) p[static_cast<size_t>(k)] = g[k * width_ + rank_];
  double along = 0;
  for (int64_t k = 0; k < rank_; ++k) {
    const auto i = static_cast<size_t>(k);
    const auto alpha = static_cast<double>(a[k * width_ + rank_]);
    const auto beta = static_cast<double>(a[k * width_ + rank_ + 1]);
    const auto pk = static_cast<double>(p[i]);
    const double tk = pk + variance_d * (alpha + dot(g + k * width_, p.data(), rank_));
    t[i] = static_cast<float>(tk);
    along +=
        variance_d * pk *
            (2 * (alpha + variance_d * beta) + variance_d * dot(a + k * width_, p.data(), rank_)) +
        tk * tk;
  }
  if (coefficients) {
    float* outer = coefficients;
    float* inner = coefficients + (rank_ + 1) * columns_;
    for (int64_t l = 0; l < rank_; ++l) {
      for (int64_t k = 0; k < rank_; ++k) {
        const float gram = g[l * width_ + k];
        outer[l * columns_ + k] = variance * gram;
        inner[l * columns_ + k] =
            variance *
            (gram +
             variance * (a[l * width_ + k] + gram_squared_[static_cast<size_t>(l * columns_ + k)]) -
             p[static_cast<size_t>(l)] * t[static_cast<size_t>(k)]);
      }
      std::fill(outer + l * columns_ + rank_, outer + (l + 1) * columns_, 0.0F);
      std::fill(inner + l * columns_ + rank_, inner + (l + 1) * columns_, 0.0F);
    }
    for (int64_t k = 0; k < columns_; ++k) {
      outer[rank_ * columns_ + k] = -t[static_cast<size_t>(k)];
      inner[rank_ * columns_ + k] = p[static_cast<size_t>(k)];
    }
  }
  return (along - trace) / variance_d;
}

// The gradient in B: a combination of a block's rows, by what finish_...() left of all blocks.
Combination HessianSample::factor_combination(const HessianPoint& p, const float* coefficients,
                                              float scale) {
  const float precision = 1 / (p.sigma * p.sigma);
  const bool pair = p.term == HessianTerm::kProduct || p.term == HessianTerm::kCentred;
  const bool centred_clean = p.term == HessianTerm::kCentredClean;
  Combination c;
  c.rows = rows_.data();
  c.stride = stride_;
  c.columns = columns_;
  c.inner = centred_clean ? coefficients + (rank_ + 1) * columns_ : coefficients;
  c.inner_begin = p.term == HessianTerm::kProductClean ? rank_ : 0;
  c.inner_rows = p.term == HessianTerm::kProduct        ? rank_ + 2
                 : p.term == HessianTerm::kCentred      ? rank_ + 1
                 : p.term == HessianTerm::kProductClean ? 1
                                                        : rank_;
  c.weight = weight_.data();
  c.scale = pair ? 2 * scale : -2 * precision * scale;
  c.out = weighted_.data();
  if (centred_clean) {
    c.outer = coefficients;
    c.outer_rows = rank_;
    c.outer_scale = scale_.data();
    c.quadratic = quadratic_.data();
  }
  return c;
}

// What a block's coordinates of B are weighted by in factor_combination().
void HessianSample::set_weights(const HessianPoint& p, int64_t padded) {
  const float variance = p.sigma * p.sigma, precision = 1 / variance;
  const bool pair = p.term == HessianTerm::kProduct || p.term == HessianTerm::kCentred;
  const bool centred_clean = p.term == HessianTerm::kCentredClean;
  const float* a = a_.data();
  for (int64_t d = 0; d < padded; ++d) {
    const auto i = static_cast<size_t>(d);
    scale_[i] = 1 + variance * a[d];
    weight_[i] = pair ? a[d] + precision : centred_clean ? scale_[i] * scale_[i] : 1.0F;
    quadratic_[i] = 0;
  }
}

// scale times the gradient in a, of a block's coordinates.
void HessianSample::differentiate_diagonal(const HessianPoint& p, int64_t length, float scale,
                                           float* out) const {
  const float variance = p.sigma * p.sigma, precision = 1 / variance;
  const float *a = a_.data(), *q = squares_.data(), *bp = sums_.data(), *quad = quadratic_.data();
  const float *v = rows_.data() + rank_ * stride_, *s = v + stride_;
  for (int64_t d = 0; d < length; ++d) {
    const float target = (1 - v[d] * v[d]) * precision;
    float slope = 0;
    switch (p.term) {
      case HessianTerm::kProduct:
        slope = a[d] + q[d] + target + s[d] * s[d];
        break;
      case HessianTerm::kCentred:
        slope = a[d] + q[d] + target;
        break;
      case HessianTerm::kProductClean:
        slope = -target;
        break;
      case HessianTerm::kCentredClean: {
        const float one = scale_[static_cast<size_t>(d)], w = one * v[d] + variance * bp[d];
        slope = -precision * (one * (one + 2 * variance * q[d]) + variance * quad[d] - w * w);
        break;
      }
    }
    out[d] = scale * slope;
  }
}

void HessianSample::differentiate(const HessianPoint& p, const float* coefficients, float scale,
                                  float* diagonal_gradient, float* factor_gradient) {
  const FactorKernels& kernels = factor_kernels();
  const float* const projection =
      p.term == HessianTerm::kCentredClean ? coefficients + (2 * rank_ + 1) * columns_ : nullptr;
  Combination combination = factor_combination(p, coefficients, scale);
  for (int64_t begin = 0; begin < dim_; begin += block_) {
    const int64_t length = std::min(block_, dim_ - begin);
    combination.length = pad(length, kLengthPad);
    load(p, begin, length);
    kernels.reduce_rows(rows_.data(), rank_, stride_, combination.length, projection,
                        squares_.data(), sums_.data());
    set_weights(p, combination.length);
    kernels.combine(combination);
    store(p, begin, length, factor_gradient);
    differentiate_diagonal(p, length, scale, diagonal_gradient + begin);
  }
}

void HessianSample::store(const HessianPoint& p, int64_t begin, int64_t length,
                          float* gradient) const {
  if (p.along != 1) {
    transpose(weighted_.data(), stride_, rank_, length, gradient + begin * rank_, rank_);
    return;
  }
  for (int64_t k = 0; k < rank_; ++k) {
    std::memcpy(gradient + k * dim_ + begin, weighted_.data() + k * stride_,
                static_cast<size_t>(length) * sizeof(float));
  }
}

}  // namespace scorejet::objectives
