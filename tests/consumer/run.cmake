# Installs the build into a prefix, builds examples/train_and_hessian.cc against it, runs it.
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
run(${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer -B ${work}/build -G Ninja
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH=${work}/prefix
  -DEXAMPLE=${SOURCE}/examples/train_and_hessian.cc)
run(${CMAKE_COMMAND} --build ${work}/build)
run(${work}/build/consumer ${work}/run)
if(NOT output MATCHES "Hessian")
  message(FATAL_ERROR "the example must print a Hessian; got: ${output}")
endif()
