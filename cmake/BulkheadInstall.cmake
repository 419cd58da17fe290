# SPDX-License-Identifier: MIT
# What `cmake --install` puts where, and how others find it: pkg-config and find_package(bulkhead).

include(CMakePackageConfigHelpers)
set(bh_config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/bulkhead)

install(
    TARGETS bulkhead-shared bulkhead-static
    EXPORT bulkhead-targets
)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/bulkhead TYPE INCLUDE)
foreach(program bulkhead bulkhead-host)
    if(TARGET ${program})
        install(TARGETS ${program})
    endif()
endforeach()
if(TARGET bulkhead-launcher)
    # The library carries its own copy; this one is for looking at and for the `launcher` option.
    install(TARGETS bulkhead-launcher DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/bulkhead)
endif()

# Relative to the file itself, so that an installed tree can be anywhere.
file(RELATIVE_PATH BH_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(
    ${PROJECT_SOURCE_DIR}/cmake/bulkhead.pc.in
    ${PROJECT_BINARY_DIR}/bulkhead.pc
    @ONLY
)
install(FILES ${PROJECT_BINARY_DIR}/bulkhead.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

configure_package_config_file(
    ${PROJECT_SOURCE_DIR}/cmake/bulkhead-config.cmake.in
    ${PROJECT_BINARY_DIR}/bulkhead-config.cmake
    INSTALL_DESTINATION ${bh_config_dir}
)
# Below 1.0 a minor version may change the interface.
write_basic_package_version_file(
    ${PROJECT_BINARY_DIR}/bulkhead-config-version.cmake
    COMPATIBILITY SameMinorVersion
)
install(
    FILES
        ${PROJECT_BINARY_DIR}/bulkhead-config.cmake
        ${PROJECT_BINARY_DIR}/bulkhead-config-version.cmake
    DESTINATION ${bh_config_dir}
)
install(
    EXPORT bulkhead-targets
    NAMESPACE bulkhead::
    DESTINATION ${bh_config_dir}
)
