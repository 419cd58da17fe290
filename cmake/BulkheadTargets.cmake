# SPDX-License-Identifier: MIT
# Words for the lists in the source directories.

# The sources in the current directory that match. Found by pattern, not listed: several people add
# files at the same time, and a list would be the one line they all touch. CONFIGURE_DEPENDS makes
# each build look again, so that a new file is never forgotten.
function(bh_glob variable)
    list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
    file(GLOB found CONFIGURE_DEPENDS ${ARGN})
    set(${variable} ${found} PARENT_SCOPE)
endfunction()

# A part of the library, an object library made from the current directory's sources, and with it
# NAME-testing, the same with BH_TESTING defined; for Windows also NAME-dll, whose functions are
# exported. No sources, no targets.
function(bh_add_part name)
    cmake_parse_arguments(PARSE_ARGV 1 part "" "" DEFINITIONS)
    bh_glob(sources *.c)
    if(NOT sources)
        message(STATUS "${name}: no sources")
        return()
    endif()
    add_library(${name} OBJECT ${sources})
    add_library(${name}-testing OBJECT EXCLUDE_FROM_ALL ${sources})
    target_compile_definitions(${name}-testing PRIVATE BH_TESTING)
    set(targets ${name} ${name}-testing)
    if(WIN32)
        add_library(${name}-dll OBJECT EXCLUDE_FROM_ALL ${sources})
        target_compile_definitions(${name}-dll PRIVATE BH_SHARED)
        list(APPEND targets ${name}-dll)
    endif()
    foreach(target ${targets})
        target_include_directories(
            ${target}
            PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src
        )
        target_compile_definitions(${target} PRIVATE BH_BUILDING ${part_DEFINITIONS})
    endforeach()
endfunction()

# The objects of those parts that have sources.
function(bh_objects variable)
    set(objects)
    foreach(part ${ARGN})
        if(TARGET ${part})
            list(APPEND objects $<TARGET_OBJECTS:${part}>)
        endif()
    endforeach()
    set(${variable} ${objects} PARENT_SCOPE)
endfunction()

# A program made from sources of the current directory; without any there is no target. It stands on
# the public API unless LIBRARIES says otherwise.
function(bh_add_program name)
    cmake_parse_arguments(PARSE_ARGV 1 program "" "" "SOURCES;LIBRARIES;DEFINITIONS")
    bh_glob(sources ${program_SOURCES})
    if(NOT sources)
        message(STATUS "${name}: no sources")
        return()
    endif()
    if(NOT program_LIBRARIES)
        set(program_LIBRARIES bulkhead-shared)
    endif()
    add_executable(${name} ${sources})
    target_link_libraries(${name} PRIVATE ${program_LIBRARIES})
    # What a plain `cc` would define too.
    target_compile_definitions(${name} PRIVATE _DEFAULT_SOURCE ${program_DEFINITIONS})
endfunction()

# A program that crashes on purpose. The optimiser must not reason from what cannot be (gcc -O1
# drops a call that only writes through a null pointer), and its code is not instrumented: a sanitizer
# would turn the fault into an orderly exit.
function(bh_crashes_on_purpose name)
    if(TARGET ${name} AND NOT MSVC)
        target_compile_options(${name} PRIVATE -fno-delete-null-pointer-checks)
    endif()
    if(TARGET ${name} AND BH_SANITIZE)
        target_compile_options(${name} PRIVATE -fno-sanitize=all)
    endif()
endfunction()
