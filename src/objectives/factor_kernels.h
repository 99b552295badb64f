// The inner loops over one sample's low-rank factor, vectorised for the processor that runs them.
// Rows are the factor's columns (and whatever vectors are set beside them), so that a register
// holds neighbouring coordinates. Change tiles, or add an instruction set, in factor_kernels.cc.
#pragma once

#include <cstdint>

namespace scorejet::objectives {

// Sizes are multiples of these, padded with zeros.
inline constexpr int64_t kRowPad = 12;     // rows: three by four make a tile of products
inline constexpr int64_t kLengthPad = 48;  // coordinates: three of the widest registers
inline constexpr int64_t kColumnPad = 4;   // columns of coefficients

constexpr int64_t pad(int64_t size, int64_t multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

// What combine() makes, for every column k at every coordinate:
//   out_k = scale (outer_scale Σ_l row_l P_lk + Σ_l row_(begin + l) M_lk + weight row_k)
struct Combination {
  const float* rows;  // [.., stride]; row k < columns is the factor's column k
  int64_t stride, length, columns;
  const float* inner;  // M, [inner_rows, columns]
  int64_t inner_begin, inner_rows;
  const float* weight;  // [length]
  float scale;
  float* out;                          // [columns, stride]
  const float* outer = nullptr;        // P, [outer_rows + 1, columns]; null: no such term
  int64_t outer_rows = 0;              // those before its last
  const float* outer_scale = nullptr;  // [length]
  float* quadratic = nullptr;  // [length] += Σ_k row_k Σ_l row_l P_lk, without P's last row
};

struct FactorKernels {
  // products[i, j] += left_i · right_j for i < left_rows, j < right_rows; with `upper` those of
  // j < i may be left out. The products have right_rows columns.
  void (*multiply)(const float* left, int64_t left_rows, const float* right, int64_t right_rows,
                   int64_t stride, int64_t length, bool upper, float* products);
  void (*combine)(const Combination& combination);
  // squares = Σ_k row_k² and, unless weights is null, sums = Σ_k weight_k row_k, k < count.
  void (*reduce_rows)(const float* rows, int64_t count, int64_t stride, int64_t length,
                      const float* weights, float* squares, float* sums);
  // out = x y for square row-major matrices.
  void (*square_product)(const float* x, const float* y, int64_t n, float* out);
};

// For this processor: AVX-512, AVX2 or what the build's baseline has.
const FactorKernels& factor_kernels();

}  // namespace scorejet::objectives
