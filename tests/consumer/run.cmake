# Installs the build into a prefix, looks at the porch, builds the examples against it and runs them.
set(work ${BUILD}/consumer)
file(REMOVE_RECURSE ${work})
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(code)
    message(FATAL_ERROR "${ARGN}: ${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/prefix)

# What is installed is the porch, and no more than a reader can take in.
file(GLOB_RECURSE headers ${work}/prefix/include/*.h)
list(LENGTH headers count)
if(count EQUAL 0 OR count GREATER 28)
  message(FATAL_ERROR "1 to 28 headers may be installed; got ${count}")
endif()

run(${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer -B ${work}/build -G Ninja
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH=${work}/prefix
  -DEXAMPLES=${SOURCE}/examples -DPORCH=${work}/prefix/include/scorejet)
run(${CMAKE_COMMAND} --build ${work}/build)
# torch/nn would cost every program that includes a header 10 s of compiling.
run(ninja -C ${work}/build -t deps)
string(REGEX MATCHALL "[^\n]*porch/[^\n]*\\.cc\\.o: #deps" objects "${output}")
list(LENGTH objects compiled)
if(NOT compiled EQUAL count OR NOT output MATCHES "scorejet/scorejet.h")
  message(FATAL_ERROR "the dependencies of ${count} headers must be known; got ${compiled}")
endif()
if(output MATCHES "[^\n]*(torch/nn|${SOURCE}/src)[^\n]*")
  message(FATAL_ERROR "a public header must include neither torch/nn nor src/; got ${CMAKE_MATCH_0}")
endif()

run(${work}/build/ten_lines)
if(NOT output MATCHES "\\+-")
  message(FATAL_ERROR "ten_lines must print means and error bars; got ${output}")
endif()
run(${work}/build/train_and_hessian ${work}/run)
if(NOT output MATCHES "Hessian")
  message(FATAL_ERROR "the example must print a Hessian; got: ${output}")
endif()
