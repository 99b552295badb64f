// Turns "auto", "cpu", "cuda" or "cuda:1" into a device that exists.
#pragma once

#include <c10/core/Device.h>

#include <string>

namespace scorejet::base {

// "auto" is the first CUDA device when there is one, else the CPU.
// Errors: std::invalid_argument for another text, or a CUDA device that is not there.
at::Device parse_device(const std::string& text);

}  // namespace scorejet::base
