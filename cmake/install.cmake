# Installing: the command, the headers, both libraries, a CMake package, a pkg-config file and the manual page.
# tests/install.sh builds a program against what this installs.
include(CMakePackageConfigHelpers)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/entrol)
install(TARGETS entrol_shared entrol_static EXPORT entrolTargets)
install(EXPORT entrolTargets NAMESPACE entrol:: DESTINATION ${package_folder})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/entrolConfig.cmake.in ${PROJECT_BINARY_DIR}/entrolConfig.cmake
  INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/entrolConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/entrolConfig.cmake ${PROJECT_BINARY_DIR}/entrolConfigVersion.cmake
  DESTINATION ${package_folder})

configure_file(${CMAKE_CURRENT_LIST_DIR}/entrol.pc.in ${PROJECT_BINARY_DIR}/entrol.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/entrol.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(DIRECTORY include/entrol DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES man/entrol.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
