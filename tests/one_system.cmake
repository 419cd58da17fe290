# SPDX-License-Identifier: MIT
# Holds the table in docs/testing.md to the truth: cmake -DSYSTEM=Linux -DREGISTERED=FILE -P this.
#
# Every test that the sources show either is registered in this build or stands in the table as the
# other system's; and what the table gives to one system is registered there alone.
cmake_minimum_required(VERSION 3.25)

file(READ ${CMAKE_CURRENT_LIST_DIR}/../docs/testing.md table)
file(STRINGS ${REGISTERED} registered)

# The rows: | `integration.host` | Linux | why |
string(REGEX MATCHALL "\n\\| `[^`]+` \\| (Linux|Windows) \\|" rows "${table}")
set(listed)
foreach(row ${rows})
    string(REGEX MATCH "`([^`]+)` \\| ([A-Za-z]+)" row "${row}")
    list(APPEND listed ${CMAKE_MATCH_1})
    set(system_of_${CMAKE_MATCH_1} ${CMAKE_MATCH_2})
endforeach()
if(NOT listed)
    message(FATAL_ERROR "docs/testing.md: the table has no rows")
endif()

# The tests, by their files: SUITE/FILE_test.c is SUITE.FILE, SUITE/FILE.sh is SUITE.FILE.
set(directory ${CMAKE_CURRENT_LIST_DIR})
file(
    GLOB files
    RELATIVE ${directory}
    ${directory}/*/*_test.c
    ${directory}/*/linux/*_test.c
    ${directory}/*/windows/*_test.c
    ${directory}/*/*_fuzz.c
    ${directory}/*/*.sh
)
list(FILTER files EXCLUDE REGEX "^(model|mutants)/") # jobs of their own
set(tests)
foreach(file ${files})
    string(REGEX MATCH "^([^/]+)/.*$" suite ${file})
    set(suite ${CMAKE_MATCH_1})
    cmake_path(GET file STEM name)
    if(NOT file MATCHES "\\.sh$")
        string(REGEX REPLACE "_(test|fuzz)$" "" name ${name})
    endif()
    list(APPEND tests ${suite}.${name})
endforeach()

set(wrong)
foreach(test ${tests})
    set(system ${system_of_${test}})
    if(test IN_LIST registered AND system AND NOT system STREQUAL SYSTEM)
        string(APPEND wrong "${test} runs on ${SYSTEM}; the table says on ${system} only\n")
    elseif(NOT test IN_LIST registered AND (NOT system OR system STREQUAL SYSTEM))
        string(APPEND wrong "${test} does not run on ${SYSTEM}; the table does not say so\n")
    endif()
endforeach()
foreach(test ${listed})
    if(NOT test IN_LIST tests)
        string(APPEND wrong "${test} is in the table, but there is no such test\n")
    endif()
endforeach()
if(wrong)
    message(FATAL_ERROR "docs/testing.md is not up to date:\n${wrong}")
endif()
