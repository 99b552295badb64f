# Finds what scorejet builds on. Add a dependency here and its reason to docs/reference/dependencies.md.
# LibTorch: -DSCOREJET_TORCH=FOLDER takes the torch package of a Python (.../site-packages/torch) and
# links its libraries by name: find_package(Torch) refuses a CUDA build on a machine without the CUDA
# toolkit, which nothing here needs. Otherwise CMAKE_PREFIX_PATH, then the system's (libtorch-dev),
# then the torch of python3.
set(SCOREJET_TORCH "" CACHE PATH "The torch package of a Python to build against")
if(NOT SCOREJET_TORCH)
  find_package(Torch QUIET)
  if(NOT Torch_FOUND)
    find_package(Python3 QUIET COMPONENTS Interpreter)
    if(Python3_FOUND)
      execute_process(COMMAND ${Python3_EXECUTABLE} -c
        "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
        OUTPUT_VARIABLE SCOREJET_TORCH OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    endif()
    if(NOT EXISTS "${SCOREJET_TORCH}/version.py")
      message(FATAL_ERROR "LibTorch must be found: install libtorch-dev, or give "
        "-DSCOREJET_TORCH=FOLDER, the torch package of a Python")
    endif()
  endif()
endif()
if(SCOREJET_TORCH)
  if(NOT EXISTS "${SCOREJET_TORCH}/version.py" OR NOT EXISTS "${SCOREJET_TORCH}/include/ATen")
    message(FATAL_ERROR "SCOREJET_TORCH must be a torch package with version.py and include/ATen; got "
      "${SCOREJET_TORCH}")
  endif()
  file(STRINGS ${SCOREJET_TORCH}/version.py torch_version REGEX "^__version__")
  string(REGEX MATCH "[0-9]+[.][0-9]+[.][0-9]+" torch_version "${torch_version}")
  if(torch_version VERSION_LESS 2.7)
    message(FATAL_ERROR "the torch of a Python must be 2.7 or newer, the first whose packages all have "
      "the C++11 ABI; got ${torch_version} in ${SCOREJET_TORCH}")
  endif()
  foreach(library torch torch_cpu c10)
    find_library(SCOREJET_LIB_${library} ${library} PATHS ${SCOREJET_TORCH}/lib NO_DEFAULT_PATH REQUIRED)
    list(APPEND torch_libraries ${SCOREJET_LIB_${library}})
  endforeach()
endif()
find_package(OpenMP REQUIRED COMPONENTS CXX)
if(SCOREJET_PYTHON)  # g++ and torch alone: torch has the headers of fmt
  add_library(fmt::fmt INTERFACE IMPORTED)
else()
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
endif()

# Torch as one target of scorejet's own (the package's export carries it).
if(NOT SCOREJET_AS_PACKAGE)
  add_library(scorejet_torch INTERFACE)
  if(SCOREJET_TORCH)
    target_include_directories(scorejet_torch SYSTEM INTERFACE ${SCOREJET_TORCH}/include
      ${SCOREJET_TORCH}/include/torch/csrc/api/include)
    target_link_libraries(scorejet_torch INTERFACE ${torch_libraries})
    # Its include folder has an fmt of its own, which is found before the system's library.
    target_compile_definitions(scorejet_torch INTERFACE FMT_HEADER_ONLY=1)
  else()
    target_link_libraries(scorejet_torch INTERFACE ${TORCH_LIBRARIES})
  endif()
endif()
