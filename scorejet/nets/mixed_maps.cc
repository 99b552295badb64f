#include "scorejet/nets/mixed_maps.h"

#include <ATen/ATen.h>
#include <torch/autograd.h>

#include <algorithm>
#include <vector>

#include "scorejet/base/error.h"
#include "scorejet/base/parallel.h"
#include "scorejet/nets/mix_kernels.h"

namespace scorejet::nets {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

struct Shape {
  MixSizes sizes;
  int64_t images, height, width;  // of the maps
  int64_t rows, cells;            // of the coefficients

  int64_t mixing() const { return sizes.columns * sizes.maps; }  // coefficients of a cell
  int64_t shared() const { return sizes.maps * sizes.values; }
  int64_t made() const { return sizes.columns * sizes.values; }
};

Shape shape_of(const at::Tensor& coefficients, const at::Tensor& maps, int64_t columns) {
  const bool fit = coefficients.dim() == 4 && maps.dim() == 4 && columns > 0 &&
                   coefficients.size(0) == maps.size(0) && coefficients.size(1) > 0 &&
                   coefficients.size(1) % columns == 0 &&
                   maps.size(1) % (coefficients.size(1) / columns) == 0;
  if (!fit) {
    base::fail_argument("nets::mixed_maps",
                        "coefficients must be [N, m {}, h, w] and maps [N, m S, H, W]; got [{}] "
                        "and [{}]",
                        columns, fmt::join(coefficients.sizes(), ", "),
                        fmt::join(maps.sizes(), ", "));
  }
  const int64_t shared = coefficients.size(1) / columns;
  return {{columns, shared, maps.size(1) / shared},
          maps.size(0),
          maps.size(2),
          maps.size(3),
          coefficients.size(2),
          coefficients.size(3)};
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

// One row of the coefficients between two, and one pixel's between its cells'.
struct Scratch {
  explicit Scratch(const Shape& s)
      : row(static_cast<size_t>(s.cells * s.mixing())),
        pixel(static_cast<size_t>(s.mixing() + kMixPadding)) {}
  std::vector<float> row, pixel;
};

at::Tensor mix_images(const Shape& s, const at::Tensor& coefficients, const at::Tensor& maps) {
  const at::Tensor out = at::empty({s.images, s.made(), s.height, s.width},
                                   at::TensorOptions(at::kFloat).memory_format(kChannelsLast));
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
        const int64_t pixel = i * s.width + x;
        kernels.mix(s.sizes, scratch.pixel.data(), f + pixel * s.shared(), y + pixel * s.made());
      }
    }
  });
  return out;
}

// Gradients of coefficients and maps.
std::pair<at::Tensor, at::Tensor> unmix_images(const Shape& s, const at::Tensor& coefficients,
                                               const at::Tensor& maps, const at::Tensor& gradient) {
  const at::Tensor held = gradient.contiguous(kChannelsLast);
  const at::Tensor coefficients_gradient = at::zeros_like(coefficients);
  const at::Tensor maps_gradient = at::empty_like(maps);
  const float *g = coefficients.data_ptr<float>(), *f = maps.data_ptr<float>(),
              *dy = held.data_ptr<float>();
  float *dg = coefficients_gradient.data_ptr<float>(), *df = maps_gradient.data_ptr<float>();
  const std::vector<Place> down = places(s.height, s.rows), across = places(s.width, s.cells);
  const MixKernels& kernels = mix_kernels();
  const int64_t line = s.cells * s.mixing();
  base::parallel_for(s.images, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch(s), back(s);
    std::vector<float> registers(
        static_cast<size_t>((s.sizes.columns + kMixPadding) * s.sizes.values));
    for (int64_t i = begin * s.height; i < end * s.height; ++i) {
      const Place& v = down[static_cast<size_t>(i % s.height)];
      const int64_t image = i / s.height * s.rows * line;
      kernels.interpolate(line, v.t, g + image + v.below * line, g + image + v.above * line,
                          scratch.row.data());
      std::fill(back.row.begin(), back.row.end(), 0.0f);
      for (int64_t x = 0; x < s.width; ++x) {
        const Place& h = across[static_cast<size_t>(x)];
        const int64_t below = h.below * s.mixing(), above = h.above * s.mixing();
        kernels.interpolate(s.mixing(), h.t, scratch.row.data() + below, scratch.row.data() + above,
                            scratch.pixel.data());
        const int64_t pixel = i * s.width + x;
        kernels.unmix(s.sizes, scratch.pixel.data(), f + pixel * s.shared(), dy + pixel * s.made(),
                      df + pixel * s.shared(), back.pixel.data(), registers.data());
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
                            const at::Tensor& maps, int64_t columns) {
    context->save_for_backward({coefficients, maps});
    context->saved_data["columns"] = columns;
    return mix_images(shape_of(coefficients, maps, columns), coefficients, maps);
  }
  static variable_list backward(AutogradContext* context, variable_list outputs) {
    const variable_list saved = context->get_saved_variables();
    const int64_t columns = context->saved_data["columns"].toInt();
    if (at::GradMode::is_enabled()) {  // to be differentiated again
      const at::Tensor y = mixed_maps_plain(saved[0], saved[1], columns);
      const variable_list gradients =
          torch::autograd::grad({y}, {saved[0], saved[1]}, {outputs[0]}, true, true);
      return {gradients[0], gradients[1], {}};
    }
    const auto [first, second] =
        unmix_images(shape_of(saved[0], saved[1], columns), saved[0], saved[1], outputs[0]);
    return {first, second, {}};
  }
};

bool is_fast(const at::Tensor& x) {
  return x.device().is_cpu() && x.scalar_type() == at::kFloat && x.is_contiguous(kChannelsLast);
}

}  // namespace

at::Tensor mixed_maps_plain(const at::Tensor& coefficients, const at::Tensor& maps,
                            int64_t columns) {
  const Shape s = shape_of(coefficients, maps, columns);
  const auto& [r, m, values] = s.sizes;
  const at::Tensor g = at::upsample_bilinear2d(coefficients, {s.height, s.width}, false)
                           .view({s.images, m, r, s.height, s.width});
  const at::Tensor f = maps.reshape({s.images, m, values, s.height, s.width});
  return at::einsum("nckhw,ncshw->nkshw", {g, f})
      .reshape({s.images, r * values, s.height, s.width});
}

at::Tensor mixed_maps(const at::Tensor& coefficients, const at::Tensor& maps, int64_t columns) {
  const Shape s = shape_of(coefficients, maps, columns);
  if (!is_fast(coefficients) || !is_fast(maps)) {
    return mixed_maps_plain(coefficients, maps, columns);
  }
  return at::GradMode::is_enabled() && (coefficients.requires_grad() || maps.requires_grad())
             ? MixedMaps::apply(coefficients, maps, columns)
             : mix_images(s, coefficients, maps);
}

}  // namespace scorejet::nets
