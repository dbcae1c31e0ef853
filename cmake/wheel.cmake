# What `pip install .` makes (pyproject.toml): the library, its headers, the command and llama.cpp inside the Python package, as the
# install component "wheel". Included before project(), so that missing packages are named before CMake looks for them.

foreach(part TESTS BENCH EXAMPLES)
  set(ENTROL_BUILD_${part} OFF)
endforeach()
set(ENTROL_BLAS OFF)
if(ENTROL_BUILD_COMMAND)
  set(wheel_llama)
  if(ENTROL_LLAMA)
    set(wheel_llama llama)
  endif()
  # What it says on standard error shows with pip's -v; on standard output it gives pkg-config's path.
  execute_process(COMMAND ${CMAKE_COMMAND} -E env ENTROL_VERBOSE=1 "ENTROL_PYTHON=${Python_EXECUTABLE}"
      bash -c ". scripts/setup.sh && setup_wheel ${wheel_llama}"
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} OUTPUT_VARIABLE wheel_pkg_config_path OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE wheel_status)
  if(NOT wheel_status EQUAL 0)
    message(FATAL_ERROR "the command's parts could not be set up (above: why). Without llama.cpp: "
      "pip install . --config-settings=cmake.define.ENTROL_LLAMA=OFF; the library alone, which needs a C compiler only: "
      "--config-settings=cmake.define.ENTROL_BUILD_COMMAND=OFF")
  endif()
  set(ENV{PKG_CONFIG_PATH} "${wheel_pkg_config_path}")
else()
  set(ENTROL_LLAMA OFF)
endif()

# The command finds llama.cpp beside itself, and its other libraries where the build found them.
function(entrol_wheel_run_path)
  set(folders $ORIGIN/../lib ${CLI_PARTS_LIBRARY_DIRS})
  foreach(library ${MPI_C_LIBRARIES})
    file(REAL_PATH ${library} library)
    cmake_path(GET library PARENT_PATH folder)
    list(APPEND folders ${folder})
  endforeach()
  list(REMOVE_ITEM folders ${CMAKE_C_IMPLICIT_LINK_DIRECTORIES})
  list(REMOVE_DUPLICATES folders)
  set_target_properties(entrol_command PROPERTIES INSTALL_RPATH "${folders}" INSTALL_RPATH_USE_LINK_PATH OFF)
endfunction()

# libllama and libggml* as plain files named by their sonames, with their licence; a system's own stay where they are.
function(entrol_wheel_llama)
  install(CODE "set(command \"$<TARGET_FILE:entrol_command>\")" COMPONENT wheel)
  install(CODE [[
    file(GET_RUNTIME_DEPENDENCIES EXECUTABLES ${command} RESOLVED_DEPENDENCIES_VAR libraries
      PRE_INCLUDE_REGEXES "^lib(llama|ggml)" PRE_EXCLUDE_REGEXES ".*")
    file(MAKE_DIRECTORY ${CMAKE_INSTALL_PREFIX}/lib)
    foreach(library ${libraries})
      cmake_path(GET library FILENAME name)
      file(REAL_PATH ${library} library)
      file(COPY_FILE ${library} ${CMAKE_INSTALL_PREFIX}/lib/${name})
    endforeach()
  ]] COMPONENT wheel)
  if(EXISTS ${LLAMA_PREFIX}/LICENSE)
    install(FILES ${LLAMA_PREFIX}/LICENSE DESTINATION lib RENAME LICENSE.llama.cpp COMPONENT wheel)
  endif()
endfunction()

function(entrol_install_wheel)
  # A wheel has no symbolic links: the file is named by its soname.
  set_property(TARGET entrol_shared PROPERTY VERSION)
  set_property(TARGET entrol_shared PROPERTY SOVERSION)
  install(TARGETS entrol_shared LIBRARY DESTINATION lib COMPONENT wheel)
  install(DIRECTORY include/entrol DESTINATION include COMPONENT wheel)
  if(ENTROL_BUILD_COMMAND)
    entrol_wheel_run_path()
    install(TARGETS entrol_command RUNTIME DESTINATION bin COMPONENT wheel)
    install(FILES man/entrol.1 DESTINATION ${SKBUILD_DATA_DIR}/share/man/man1 COMPONENT wheel)
  endif()
  if(ENTROL_LLAMA AND LLAMA_LIBRARY_DIRS)
    entrol_wheel_llama()
  endif()
endfunction()
