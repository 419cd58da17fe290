# SPDX-License-Identifier: MIT
# What may be chosen, and the compiler flags that every target gets.

option(BH_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(BH_WERROR "Treat warnings as errors (the presets do)" OFF)
option(BH_FUZZ "Build the core and the libFuzzer harnesses only (needs clang)" OFF)
set(BH_SANITIZE "" CACHE STRING "As in -fsanitize=: address,undefined or thread")

if(NOT CMAKE_BUILD_TYPE AND PROJECT_IS_TOP_LEVEL)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)

# The system whose platform code in src/platform/ is built: linux, windows.
string(TOLOWER ${CMAKE_SYSTEM_NAME} BH_PLATFORM)

if(MSVC)
    # Untested. <stdatomic.h> came with Visual Studio 2022 17.5, behind an option.
    add_compile_options(/W4 /utf-8 /experimental:c11atomics)
    add_compile_definitions(_CRT_SECURE_NO_WARNINGS _CRT_NONSTDC_NO_WARNINGS)
    # Programs need no runtime DLLs beside them, and yet share the one that Windows has: what the
    # library flushes must be the program's own stdout.
    set(CMAKE_MSVC_RUNTIME_LIBRARY MultiThreaded)
    add_link_options(/NODEFAULTLIB:libucrt.lib /DEFAULTLIB:ucrt.lib)
else()
    add_compile_options(
        -Wall
        -Wextra
        -Wcast-align
        -Wformat=2
        -Wimplicit-fallthrough
        -Wmissing-prototypes
        -Wold-style-definition
        -Wpointer-arith
        -Wshadow
        -Wstrict-prototypes
        -Wundef
        -Wvla
        -Wwrite-strings
        $<$<C_COMPILER_ID:GNU>:-Wduplicated-cond>
        $<$<C_COMPILER_ID:GNU>:-Wlogical-op>
        # Comparing with a macro that is 0 in this build is no mistake.
        -Wno-type-limits
        # Texts of a fixed size are cut to fit on purpose.
        $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>
        # Messages and __FILE__ say src/core/x.c wherever the checkout lies.
        "-fmacro-prefix-map=${PROJECT_SOURCE_DIR}/="
    )
endif()
if(BH_WERROR)
    add_compile_options($<IF:$<C_COMPILER_ID:MSVC>,/WX,-Werror>)
endif()

# BH_VARIANT is how a test's `not-under:` line calls this build; see BulkheadTests.cmake.
set(BH_VARIANT "")
if(BH_SANITIZE)
    set(bh_sanitize -fsanitize=${BH_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_compile_options(${bh_sanitize})
    add_link_options(${bh_sanitize})
    if(BH_SANITIZE MATCHES address)
        set(BH_VARIANT asan)
    elseif(BH_SANITIZE MATCHES thread)
        set(BH_VARIANT tsan)
    endif()
endif()
if(BH_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(MINGW)
    # Programs need no runtime DLLs beside them. Formats are C99's; the compiler's check knows only
    # the old Microsoft ones, so it is left to the builds for Linux.
    add_link_options(-static)
    add_compile_definitions(__USE_MINGW_ANSI_STDIO=1)
    add_compile_options(-Wno-format -Wno-format-extra-args)
endif()
