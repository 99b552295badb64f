# scorejet_module(NAME [WING] FLOOR n WHAT "..." [PLAIN ALL | sources that do not use torch] [LINKS ...]
#                 [PRIVATE_LINKS ...] [FILES ALL | sources that read or write files] [FILE_LINKS ...]):
# the static library scorejet_NAME of every source in src/NAME/; a wing stands beside the library, in
# NAME/, and is not installed (NAME/**/*_bench.cc are programs). The core of the Python package
# (SCOREJET_PYTHON) goes without FILES and what they link: files are Python's work there.
# Sources that use torch share one precompiled header, built once in scorejet_pch, and are compiled a
# few at a time as one unit (SCOREJET_UNITY): gcc instantiates LibTorch's templates anew in each unit,
# which costs more than most sources do. So a name local to a file must be the only one of its folder.
set(SCOREJET_WARNINGS -Wall -Wextra -Wconversion)
if(SCOREJET_TORCH OR Torch_VERSION VERSION_GREATER_EQUAL 2)  # gcc sees both where torch 2.x has neither
  list(APPEND SCOREJET_WARNINGS -Wno-array-bounds -Wno-maybe-uninitialized)
endif()
if(SCOREJET_WERROR)
  list(APPEND SCOREJET_WARNINGS -Werror)
endif()

add_library(scorejet_pch OBJECT ${CMAKE_CURRENT_SOURCE_DIR}/cmake/pch.cc)
target_link_libraries(scorejet_pch PRIVATE scorejet_torch fmt::fmt)
target_include_directories(scorejet_pch PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_options(scorejet_pch PRIVATE ${SCOREJET_WARNINGS})
target_precompile_headers(scorejet_pch PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/cmake/pch.h)
set_target_properties(scorejet_pch PROPERTIES POSITION_INDEPENDENT_CODE ON)

function(scorejet_module name)
  cmake_parse_arguments(ARG "WING" "FLOOR;WHAT" "PLAIN;LINKS;PRIVATE_LINKS;FILES;FILE_LINKS" ${ARGN})
  if(SCOREJET_PYTHON AND ARG_FILES STREQUAL "ALL")
    return()
  endif()
  set(target scorejet_${name})
  set(folder ${PROJECT_SOURCE_DIR}/src/${name})
  if(ARG_WING)
    set(folder ${PROJECT_SOURCE_DIR}/${name})
  endif()
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/*.cc)
  list(FILTER sources EXCLUDE REGEX "_bench\\.cc$")
  if(SCOREJET_PYTHON)
    list(TRANSFORM ARG_FILES PREPEND ${folder}/)
    list(REMOVE_ITEM sources ${ARG_FILES})
  else()
    list(APPEND ARG_PRIVATE_LINKS ${ARG_FILE_LINKS})
  endif()
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_options(${target} PRIVATE ${SCOREJET_WARNINGS})
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON EXPORT_NAME ${name})
  target_link_libraries(${target} PUBLIC ${ARG_LINKS} PRIVATE ${ARG_PRIVATE_LINKS})
  if(NOT ARG_PLAIN STREQUAL "ALL")
    scorejet_use_torch(${target} PUBLIC)
    foreach(source IN LISTS ARG_PLAIN)
      set_source_files_properties(${folder}/${source} PROPERTIES SKIP_PRECOMPILE_HEADERS ON
        SKIP_UNITY_BUILD_INCLUSION ON)
    endforeach()
  endif()
  if(NOT ARG_WING)
    set_property(GLOBAL APPEND PROPERTY SCOREJET_TARGETS ${target})
  endif()
  scorejet_note_in_plan(${name} ${ARG_FLOOR} "${ARG_WHAT}" ${ARG_LINKS} ${ARG_PRIVATE_LINKS})
endfunction()

# Links torch and reuses the precompiled header.
function(scorejet_use_torch target scope)
  target_link_libraries(${target} ${scope} scorejet_torch)
  target_link_libraries(${target} PRIVATE fmt::fmt)
  target_precompile_headers(${target} REUSE_FROM scorejet_pch)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${SCOREJET_UNITY}
    UNITY_BUILD_BATCH_SIZE 8)
endfunction()

# A room may use only rooms below it: checked here, and kept for the plan.
function(scorejet_note_in_plan name floor what)
  set(uses "")
  foreach(link IN LISTS ARGN)
    if(NOT link MATCHES "^scorejet_(.*)$")
      continue()
    endif()
    set(used ${CMAKE_MATCH_1})
    get_property(below GLOBAL PROPERTY SCOREJET_FLOOR_${used})
    if(NOT below LESS floor AND NOT floor EQUAL 0)
      message(FATAL_ERROR "${name} (floor ${floor}) may use rooms below it only; got ${used} (${below})")
    endif()
    list(APPEND uses ${used})
  endforeach()
  list(JOIN uses ", " uses)
  set_property(GLOBAL PROPERTY SCOREJET_FLOOR_${name} ${floor})
  set_property(GLOBAL APPEND_STRING PROPERTY SCOREJET_PLAN "| ${floor} | ${name} | ${what} | ${uses} |\n")
endfunction()

# plan.md of the build folder, the table of docs/reference/plan.md: a test compares the two.
function(scorejet_write_plan)
  get_property(rows GLOBAL PROPERTY SCOREJET_PLAN)
  file(WRITE ${PROJECT_BINARY_DIR}/plan.md
    "| floor | folder | what is in it | uses |\n|---|---|---|---|\n${rows}")
endfunction()
