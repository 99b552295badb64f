# Finds what scorejet builds on. Add a dependency here and its reason to docs/reference/dependencies.md.
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
pkg_check_modules(pangocairo REQUIRED IMPORTED_TARGET pangocairo)
set_target_properties(PkgConfig::pangocairo PROPERTIES INTERFACE_COMPILE_OPTIONS "")  # -pthread:
add_library(pango::cairo ALIAS PkgConfig::pangocairo)  # it keeps the precompiled header away
find_path(CSV_INCLUDE csv.h REQUIRED)
find_library(CSV_LIBRARY csv REQUIRED)
add_library(csv::csv INTERFACE IMPORTED)
set_target_properties(csv::csv PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${CSV_INCLUDE}
  INTERFACE_LINK_LIBRARIES ${CSV_LIBRARY})

# Torch as one target of scorejet's own (the package's export carries it).
if(NOT SCOREJET_AS_PACKAGE)
  add_library(scorejet_torch INTERFACE)
  target_link_libraries(scorejet_torch INTERFACE ${TORCH_LIBRARIES})
endif()
