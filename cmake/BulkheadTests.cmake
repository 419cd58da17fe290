# SPDX-License-Identifier: MIT
# Words for the lists in the test directories. A test is named SUITE.FILE and labelled SUITE.
#
# A test may say in the first lines of its file, inside a comment:
#   timeout: 120              seconds for the whole file; 60 without it
#   serial: yes               nothing else runs beside it
#   not-under: tsan valgrind  left out of these builds (asan, tsan, valgrind, wine)

find_program(BH_VALGRIND valgrind)

# Sanitizers stop at the first finding, and leave the signals and the core limit to the library,
# whose business they are.
string(
    JOIN : bh_sanitizer_options
    halt_on_error=1
    disable_coredump=0
    handle_segv=0
    handle_sigbus=0
    handle_sigfpe=0
    handle_sigill=0
    handle_abort=0
)

# What every test sees; first where the programs are.
set(
    BH_TEST_ENVIRONMENT
    BH_BIN=${PROJECT_BINARY_DIR}/bin
    BH_LIB=${PROJECT_BINARY_DIR}/lib
    BH_SOURCE=${PROJECT_SOURCE_DIR}
    ASAN_OPTIONS=${bh_sanitizer_options}
    TSAN_OPTIONS=${bh_sanitizer_options}:atexit_sleep_ms=0
    UBSAN_OPTIONS=print_stacktrace=1
)
if(WIN32)
    list(APPEND BH_TEST_ENVIRONMENT WINEPREFIX=${PROJECT_BINARY_DIR}/wine)
endif()

# A locale whose decimal point is a comma, for tests that must not notice. (Debian: locales)
set(bh_locales ${PROJECT_BINARY_DIR}/locales)
find_program(BH_LOCALEDEF localedef)
if(BH_LOCALEDEF AND NOT WIN32 AND NOT EXISTS ${bh_locales})
    file(MAKE_DIRECTORY ${bh_locales})
    execute_process(
        COMMAND ${BH_LOCALEDEF} --no-archive -i de_DE -f UTF-8 ${bh_locales}/de_DE.UTF-8
        OUTPUT_QUIET ERROR_QUIET
    )
endif()
list(APPEND BH_TEST_ENVIRONMENT LOCPATH=${bh_locales})

# The value of `key: value` in the first lines of a file.
function(bh_test_header variable file key)
    file(READ ${file} head LIMIT 2000)
    set(value)
    if(head MATCHES "[*#] ${key}: ([a-z0-9 ]+)")
        string(STRIP "${CMAKE_MATCH_1}" value)
        string(REPLACE " " ";" value "${value}")
    endif()
    set(${variable} ${value} PARENT_SCOPE)
endfunction()

# Whether a file says that it is not for this build.
function(bh_is_excluded variable file)
    bh_test_header(excluded ${file} not-under)
    set(kinds ${BH_VARIANT} ${ARGN})
    if(WIN32)
        list(APPEND kinds wine)
    endif()
    set(${variable} FALSE PARENT_SCOPE)
    foreach(kind ${kinds})
        if(kind IN_LIST excluded)
            set(${variable} TRUE PARENT_SCOPE)
        endif()
    endforeach()
endfunction()

# Registers a command as a test and gives it what the header of `file` asks for.
function(bh_register_test name label file)
    bh_is_excluded(excluded ${file} ${label})
    if(excluded)
        return()
    endif()
    bh_test_header(timeout ${file} timeout)
    bh_test_header(serial ${file} serial)
    if(NOT timeout)
        set(timeout 60)
    endif()
    set(slowdown 1)
    if(label STREQUAL valgrind)
        set(slowdown 8)
    elseif(BH_VARIANT OR WIN32)
        set(slowdown 3)
    endif()
    # The kit stops a little earlier than CTest would, and can say what hung.
    math(EXPR budget "${timeout} * ${slowdown}")
    math(EXPR timeout "${budget} + 5")
    set(command ${ARGN})
    if(WIN32 AND CMAKE_CROSSCOMPILING)
        math(EXPR timeout "2 * ${timeout} + 60") # see wine_test.sh
        set(tests ${PROJECT_SOURCE_DIR}/tests)
        list(POP_FRONT command program)
        if(TARGET ${program})
            list(PREPEND command ${tests}/wine.sh $<TARGET_FILE:${program}>)
        else()
            list(PREPEND command ${program})
        endif()
        list(PREPEND command ${tests}/wine_test.sh $<TARGET_FILE:wine-health>)
    endif()
    add_test(NAME ${name} COMMAND ${command})
    set_property(GLOBAL APPEND PROPERTY BH_REGISTERED_TESTS ${name})
    set_tests_properties(
        ${name}
        PROPERTIES
            TIMEOUT ${timeout}
            LABELS ${label}
            SKIP_RETURN_CODE 77
            RUN_SERIAL "${serial}"
            ENVIRONMENT "${BH_TEST_ENVIRONMENT};KIT_BUDGET_S=${budget};KIT_SLOWDOWN=${slowdown}"
    )
    if(WIN32 AND CMAKE_CROSSCOMPILING)
        set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED wine)
    endif()
endfunction()

# Before anything else that runs under Wine.
function(bh_add_wine_session)
    add_test(NAME wine.session COMMAND ${PROJECT_SOURCE_DIR}/tests/wine_session.sh)
    set_tests_properties(
        wine.session
        PROPERTIES
            TIMEOUT 120
            LABELS wine
            FIXTURES_SETUP wine
            ENVIRONMENT "${BH_TEST_ENVIRONMENT}"
    )
endfunction()

# What tests start beside themselves, for who builds few of them; scripts need the programs, too.
if(NOT TARGET test-workers)
    add_custom_target(test-workers)
endif()

# *_test.c in the current directory: one program and one test each. *_worker.c: worker programs for
# them. What is in a directory named after a system, linux/ or windows/, belongs to that system alone.
# *.sh: see bh_add_scripts().
function(bh_add_tests suite)
    cmake_parse_arguments(PARSE_ARGV 1 tests VALGRIND "" "LIBRARIES;DEFINITIONS")
    set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
    bh_glob(programs *_test.c *_worker.c ${BH_PLATFORM}/*_test.c ${BH_PLATFORM}/*_worker.c)
    foreach(source ${programs})
        bh_is_excluded(excluded ${source})
        if(excluded)
            continue()
        endif()
        cmake_path(GET source STEM program)
        set(target ${suite}-${program})
        add_executable(${target} ${source})
        set_target_properties(${target} PROPERTIES OUTPUT_NAME ${program})
        target_include_directories(
            ${target}
            PRIVATE
                ${PROJECT_SOURCE_DIR}/include
                ${PROJECT_SOURCE_DIR}/src
                ${PROJECT_SOURCE_DIR}/tests
                ${PROJECT_SOURCE_DIR}/tests/kit
                ${CMAKE_CURRENT_SOURCE_DIR}
        )
        target_compile_definitions(
            ${target}
            PRIVATE
                ${tests_DEFINITIONS}
                "BH_TEST_BIN_DIR=\"${PROJECT_BINARY_DIR}/bin\""
                "BH_TEST_DIR=\"${CMAKE_CURRENT_BINARY_DIR}\""
        )
        target_link_libraries(${target} PRIVATE ${tests_LIBRARIES} kit)
        if(program MATCHES "^(.*)_test$")
            set(name ${suite}.${CMAKE_MATCH_1})
            bh_register_test(${name} ${suite} ${source} ${target})
            if(tests_VALGRIND AND BH_VALGRIND AND NOT BH_VARIANT AND NOT CMAKE_CROSSCOMPILING)
                bh_register_test(
                    ${name}.valgrind
                    valgrind
                    ${source}
                    ${BH_VALGRIND} -q --leak-check=full --error-exitcode=99
                    $<TARGET_FILE:${target}> --in-process
                )
            endif()
        else()
            bh_crashes_on_purpose(${target})
            add_dependencies(test-workers ${target})
        endif()
    endforeach()
    bh_add_scripts(${suite})
endfunction()

# *.sh in the current directory: one test each. What runs them looks for what they leave behind.
function(bh_add_scripts suite)
    set(runner kit-script)
    if(WIN32)
        set(runner ${PROJECT_SOURCE_DIR}/tests/wine_script.sh)
    endif()
    bh_glob(scripts *.sh)
    foreach(source ${scripts})
        cmake_path(GET source STEM name)
        bh_register_test(${suite}.${name} ${suite} ${source} ${runner} ${source})
    endforeach()
endfunction()

# Registers the test that compares what is registered up to now with the table in docs/testing.md.
function(bh_check_table_of_tests)
    get_property(names GLOBAL PROPERTY BH_REGISTERED_TESTS)
    list(JOIN names "\n" names)
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/registered.txt "${names}\n")
    add_test(
        NAME docs.testing
        COMMAND
            ${CMAKE_COMMAND} -DSYSTEM=${CMAKE_SYSTEM_NAME}
            -DREGISTERED=${CMAKE_CURRENT_BINARY_DIR}/registered.txt -P
            ${PROJECT_SOURCE_DIR}/tests/one_system.cmake
    )
    set_tests_properties(docs.testing PROPERTIES LABELS docs)
endfunction()
