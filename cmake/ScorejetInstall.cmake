# `cmake --install`: the porch, libraries and the package that find_package(scorejet) reads.
include(CMakePackageConfigHelpers)
get_property(module_targets GLOBAL PROPERTY SCOREJET_TARGETS)
install(TARGETS scorejet scorejet_torch ${module_targets} EXPORT scorejetTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT scorejetTargets NAMESPACE scorejet:: DESTINATION
  ${CMAKE_INSTALL_LIBDIR}/cmake/scorejet)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/scorejet DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/scorejetConfig.cmake.in
  ${PROJECT_BINARY_DIR}/scorejetConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/scorejet)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/scorejetConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/scorejetConfig.cmake
  ${PROJECT_BINARY_DIR}/scorejetConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/ScorejetDependencies.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/scorejet)
