#include "src/nets/mixed_maps.h"

#include <ATen/ATen.h>
#include <torch/autograd.h>

#include <algorithm>
#include <vector>

#include "src/base/error.h"
#include "src/base/fast_paths.h"
#include "src/base/parallel.h"
#include "src/base/simd.h"
#include "src/nets/map_layout.h"
#include "src/nets/mix_kernels.h"
#include "src/nets/pixel_maps.h"

namespace scorejet::nets {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

struct Shape {
  MixSizes sizes;
  int64_t images, height, width, step;  // of the maps; from pixel to pixel
  int64_t rows, cells;                  // of the coefficients
  int64_t patch;

  int64_t mixing() const { return sizes.columns * sizes.maps; }  // coefficients of a cell
  int64_t shared() const { return sizes.maps * sizes.values; }
  int64_t made() const {
    return sizes.values * padded_columns(sizes.columns);
  }  // at a pixel of maps
  int64_t colours() const { return sizes.values / (patch * patch); }
};

Shape shape_of(const at::Tensor& coefficients, const at::Tensor& maps, int64_t columns,
               int64_t patch) {
  const bool fit = coefficients.dim() == 4 && maps.dim() == 4 && columns > 0 && patch > 0 &&
                   coefficients.size(0) == maps.size(0) && coefficients.size(1) > 0 &&
                   coefficients.size(1) % columns == 0 &&
                   maps.size(1) % (coefficients.size(1) / columns * patch * patch) == 0;
  if (!fit) {
    base::fail_argument(
        "nets::mixed_maps",
        "coefficients must be [N, m {}, h, w] and maps [N, m S, H, W], S a multiple "
        "of {}²; got [{}] and [{}]",
        columns, patch, fmt::join(coefficients.sizes(), ", "), fmt::join(maps.sizes(), ", "));
  }
  const int64_t shared = coefficients.size(1) / columns;
  return {{columns, shared, maps.size(1) / shared},
          maps.size(0),
          maps.size(2),
          maps.size(3),
          pixel_stride(maps),
          coefficients.size(2),
          coefficients.size(3),
          patch};
}

// Where a pixel of `size` lies between two of `cells`, its neighbours in proportion 1 − t to t.
struct Place {
  int64_t below, above;
  float t;
};

std::vector<Place> places(int64_t size, int64_t cells) {
  std::vector<Place> result(static_cast<size_t>(size));
  const double ratio = static_cast<double>(cells) / static_cast<double>(size);
  for (int64_t i = 0; i < size; ++i) {
    const double at = std::max(0.0, (static_cast<double>(i) + 0.5) * ratio - 0.5);
    const auto below = std::min(static_cast<int64_t>(at), cells - 1);
    result[static_cast<size_t>(i)] = {below, std::min(below + 1, cells - 1),
                                      static_cast<float>(at - static_cast<double>(below))};
  }
  return result;
}

// One row of the coefficients between two, one pixel's between its cells', and one line of what is
// made: [width, S, P].
struct Scratch {
  explicit Scratch(const Shape& s)
      : row(static_cast<size_t>(s.cells * s.mixing())),
        pixel(static_cast<size_t>(s.mixing() + kMixPadding)),
        line(static_cast<size_t>(s.width * s.made())) {}
  std::vector<float> row, pixel, line;
};

using Four = base::Vector<float, 16>::Type;

// Four rows of four become columns.
void transpose(Four (&r)[4]) {
  const Four a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
  const Four b = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
  const Four c = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
  const Four d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
  r[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
  r[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
  r[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
  r[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}

// Between a line as made and its pixels, rows of [columns, colours, height patch, width patch];
// `pixels` at the first of them. A row of pixels of all columns is a matrix transposed. P is the
// patch, 0 for any.
template <int P, bool kToPixels>
void copy_line(const Shape& s, std::conditional_t<kToPixels, const float, float>* line,
               std::conditional_t<kToPixels, float, const float>* pixels) {
  const int64_t patch = P > 0 ? P : s.patch, padded = padded_columns(s.sizes.columns);
  const int64_t row = s.width * patch, plane = s.height * patch * row, step = s.made();
  const int64_t column = s.colours() * plane;
  for (int64_t v = 0; v < s.sizes.values; v += patch) {  // a row of one colour
    auto* const there = pixels + v / (patch * patch) * plane + v / patch % patch * row;
    const auto here = [&](int64_t q) { return line + q / patch * step + (v + q % patch) * padded; };
    const auto copy_one = [&](int64_t q, int64_t k) {
      if constexpr (kToPixels) {
        there[k * column + q] = here(q)[k];
      } else {
        here(q)[k] = there[k * column + q];
      }
    };
    int64_t k = 0;
    for (; k + 4 <= s.sizes.columns; k += 4) {
      int64_t q = 0;
      for (; q + 4 <= row; q += 4) {
        Four block[4];
        for (int i = 0; i < 4; ++i) {
          block[i] = *reinterpret_cast<const Four*>(kToPixels ? here(q + i) + k
                                                              : there + (k + i) * column + q);
        }
        transpose(block);
        for (int i = 0; i < 4; ++i) {
          if constexpr (kToPixels) {
            *reinterpret_cast<Four*>(there + (k + i) * column + q) = block[i];
          } else {
            *reinterpret_cast<Four*>(here(q + i) + k) = block[i];
          }
        }
      }
      for (; q < row; ++q) {
        for (int i = 0; i < 4; ++i) copy_one(q, k + i);
      }
    }
    for (; k < s.sizes.columns; ++k) {
      for (int64_t q = 0; q < row; ++q) copy_one(q, k);
    }
  }
}

template <bool kToPixels, typename Line, typename Pixels>
void copy_any(const Shape& s, Line* line, Pixels* pixels) {
  if (s.patch == 1) return copy_line<1, kToPixels>(s, line, pixels);
  if (s.patch == 2) return copy_line<2, kToPixels>(s, line, pixels);
  copy_line<0, kToPixels>(s, line, pixels);
}

// Where the pixels of line i of all images start.
int64_t pixels_at(const Shape& s, int64_t i) {
  const int64_t line = s.width * s.patch * s.patch, lines = s.sizes.columns * s.colours();
  return (i / s.height * lines * s.height + i % s.height) * line;
}

at::Tensor mix_images(const Shape& s, const at::Tensor& coefficients, const at::Tensor& maps) {
  const at::Tensor out = at::empty(
      {s.images, s.sizes.columns * s.colours(), s.height * s.patch, s.width * s.patch}, at::kFloat);
  const float *g = coefficients.data_ptr<float>(), *f = maps.data_ptr<float>();
  float* y = out.data_ptr<float>();
  const std::vector<Place> down = places(s.height, s.rows), across = places(s.width, s.cells);
  const MixKernels& kernels = mix_kernels();
  const int64_t line = s.cells * s.mixing();
  base::parallel_for(s.images * s.height, 4, [&](int64_t begin, int64_t end) {
    Scratch scratch(s);
    for (int64_t i = begin; i < end; ++i) {
      const Place& v = down[static_cast<size_t>(i % s.height)];
      const float* image = g + i / s.height * s.rows * line;
      kernels.interpolate(line, v.t, image + v.below * line, image + v.above * line,
                          scratch.row.data());
      for (int64_t x = 0; x < s.width; ++x) {
        const Place& h = across[static_cast<size_t>(x)];
        const float* row = scratch.row.data();
        kernels.interpolate(s.mixing(), h.t, row + h.below * s.mixing(), row + h.above * s.mixing(),
                            scratch.pixel.data());
        kernels.mix(s.sizes, scratch.pixel.data(), f + (i * s.width + x) * s.step,
                    scratch.line.data() + x * s.made());
      }
      copy_any<true>(s, static_cast<const float*>(scratch.line.data()), y + pixels_at(s, i));
    }
  });
  return out;
}

// Gradients of coefficients and maps.
std::pair<at::Tensor, at::Tensor> unmix_images(const Shape& s, const at::Tensor& coefficients,
                                               const at::Tensor& maps, const at::Tensor& gradient) {
  const at::Tensor held = gradient.contiguous();
  const at::Tensor coefficients_gradient = at::zeros_like(coefficients);
  const at::Tensor maps_gradient =
      at::empty(maps.sizes(), maps.options().memory_format(kChannelsLast));
  const float *g = coefficients.data_ptr<float>(), *f = maps.data_ptr<float>(),
              *dy = held.data_ptr<float>();
  float *dg = coefficients_gradient.data_ptr<float>(), *df = maps_gradient.data_ptr<float>();
  const std::vector<Place> down = places(s.height, s.rows), across = places(s.width, s.cells);
  const MixKernels& kernels = mix_kernels();
  const int64_t line = s.cells * s.mixing();
  base::parallel_for(s.images, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch(s), back(s);
    for (int64_t i = begin * s.height; i < end * s.height; ++i) {
      const Place& v = down[static_cast<size_t>(i % s.height)];
      const int64_t image = i / s.height * s.rows * line;
      kernels.interpolate(line, v.t, g + image + v.below * line, g + image + v.above * line,
                          scratch.row.data());
      std::fill(back.row.begin(), back.row.end(), 0.0f);
      copy_any<false>(s, back.line.data(), dy + pixels_at(s, i));
      for (int64_t x = 0; x < s.width; ++x) {
        const Place& h = across[static_cast<size_t>(x)];
        const int64_t below = h.below * s.mixing(), above = h.above * s.mixing();
        kernels.interpolate(s.mixing(), h.t, scratch.row.data() + below, scratch.row.data() + above,
                            scratch.pixel.data());
        const int64_t pixel = i * s.width + x;
        kernels.unmix(s.sizes, scratch.pixel.data(), f + pixel * s.step,
                      back.line.data() + x * s.made(), df + pixel * s.shared(), back.pixel.data());
        kernels.spread(s.mixing(), h.t, back.pixel.data(), back.row.data() + below,
                       back.row.data() + above);
      }
      kernels.spread(line, v.t, back.row.data(), dg + image + v.below * line,
                     dg + image + v.above * line);
    }
  });
  return {coefficients_gradient, maps_gradient};
}

struct MixedMaps : torch::autograd::Function<MixedMaps> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& coefficients,
                            const at::Tensor& maps, int64_t columns, int64_t patch) {
    context->save_for_backward({coefficients, maps});
    context->saved_data["columns"] = columns;
    context->saved_data["patch"] = patch;
    return mix_images(shape_of(coefficients, maps, columns, patch), coefficients, maps);
  }
  static variable_list backward(AutogradContext* context, variable_list outputs) {
    const variable_list saved = context->get_saved_variables();
    const int64_t columns = context->saved_data["columns"].toInt();
    const int64_t patch = context->saved_data["patch"].toInt();
    if (at::GradMode::is_enabled()) {  // to be differentiated again
      const at::Tensor y = mixed_maps_plain(saved[0], saved[1], columns, patch);
      const variable_list gradients =
          torch::autograd::grad({y}, {saved[0], saved[1]}, {outputs[0]}, true, true);
      return {gradients[0], gradients[1], {}, {}};
    }
    const auto [first, second] =
        unmix_images(shape_of(saved[0], saved[1], columns, patch), saved[0], saved[1], outputs[0]);
    return {first, second, {}, {}};
  }
};

}  // namespace

at::Tensor mixed_maps_plain(const at::Tensor& coefficients, const at::Tensor& maps, int64_t columns,
                            int64_t patch) {
  const Shape s = shape_of(coefficients, maps, columns, patch);
  const auto& [r, m, values] = s.sizes;
  const at::Tensor g = at::upsample_bilinear2d(coefficients, {s.height, s.width}, false)
                           .view({s.images, m, r, s.height, s.width});
  const at::Tensor f = maps.reshape({s.images, m, values, s.height, s.width});
  return pixels_of_plain(
      at::einsum("nckhw,ncshw->nkshw", {g, f}).reshape({s.images, r * values, s.height, s.width}),
      patch);
}

at::Tensor mixed_maps(const at::Tensor& coefficients, const at::Tensor& maps, int64_t columns,
                      int64_t patch) {
  const Shape s = shape_of(coefficients, maps, columns, patch);
  if (!is_walkable(maps) || !is_walkable(coefficients) ||
      pixel_stride(coefficients) != coefficients.size(1) ||
      !base::fast(base::FastPath::kMixedMaps)) {
    return mixed_maps_plain(coefficients, maps, columns, patch);
  }
  return at::GradMode::is_enabled() && (coefficients.requires_grad() || maps.requires_grad())
             ? MixedMaps::apply(coefficients, maps, columns, patch)
             : mix_images(s, coefficients, maps);
}

}  // namespace scorejet::nets
