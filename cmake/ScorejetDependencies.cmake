# Finds what scorejet builds on. Add a dependency here and its reason to docs/DEPENDENCIES.md.
# LibTorch: from CMAKE_PREFIX_PATH, else the system's (libtorch-dev), else the one of python3.
find_package(Torch QUIET)
if(NOT Torch_FOUND)
  find_package(Python3 QUIET COMPONENTS Interpreter)
  if(Python3_FOUND)
    execute_process(
      COMMAND ${Python3_EXECUTABLE} -c "import torch; print(torch.utils.cmake_prefix_path)"
      OUTPUT_VARIABLE torch_prefix OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    list(APPEND CMAKE_PREFIX_PATH ${torch_prefix})
  endif()
  find_package(Torch REQUIRED)
endif()
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PNG REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(PkgConfig REQUIRED)
pkg_check_modules(libzip REQUIRED IMPORTED_TARGET libzip)
add_library(libzip::zip ALIAS PkgConfig::libzip)

# Torch as one target of scorejet's own (the package's export carries it).
if(NOT SCOREJET_AS_PACKAGE)
  add_library(scorejet_torch INTERFACE)
  target_link_libraries(scorejet_torch INTERFACE ${TORCH_LIBRARIES})
endif()
