#include "src/base/device.h"

#include <torch/cuda.h>

#include "src/base/error.h"

namespace scorejet::base {

at::Device parse_device(const std::string& text) {
  const auto count = static_cast<int64_t>(torch::cuda::device_count());
  if (text == "cpu") return at::Device(at::kCPU);
  if (text == "auto") return count > 0 ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  int64_t index = -1;
  if (text == "cuda") index = 0;
  if (text.starts_with("cuda:") && text.size() > 5 && text.size() < 8 &&
      text.find_first_not_of("0123456789", 5) == std::string::npos) {
    index = std::stoll(text.substr(5));
  }
  if (index < 0) {
    fail_argument("base::parse_device", "device must be auto, cpu, cuda or cuda:N; got \"{}\"",
                  text);
  }
  if (index >= count) {
    fail_argument("base::parse_device",
                  "device {} must exist; this machine and build offer {} CUDA devices", text,
                  count);
  }
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

}  // namespace scorejet::base
