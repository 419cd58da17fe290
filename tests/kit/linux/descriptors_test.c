/* SPDX-License-Identifier: MIT */
/* That the kit finds what only Linux has to leave behind, and names signals. */
#include "failing.h"

TEST(crash_is_a_failure_that_names_the_signal)
{
    check_fails("raise_abort", "killed by SIGABRT");
}

TEST(leaked_descriptor_is_found)
{
    check_fails("leak_descriptor", "-> /dev/null");
}

TEST(leaked_memory_files_are_found)
{
    check_fails("leak_memory_file", "-> /memfd:forgotten");
    check_fails("leak_memory_mapping", "leaked: mapping of /memfd:mapped");
}

TEST(leaked_processes_are_found_and_killed)
{
    check_fails("leak_zombie", "not reaped");
    check_fails("leak_child", "leaked: process");
    check_fails("leak_daemon", "leaked: process");
    check_fails("leak_program", "(must_fail)");
    CHECK_INT(kit_descendants(NULL, 0), 0);
}

TEST(run_feeds_the_input_and_keeps_the_outputs_apart)
{
    const char *const argv[] = {"sh", "-c", "cat; echo wrong >&2; exit 3", NULL};
    char *out, *err;
    int status;
    CHECK(kit_run(argv, "right", &out, &err, &status, 5000));
    CHECK_STR(out, "right");
    CHECK_STR(err, "wrong\n");
    CHECK_INT(status, 3);
    free(out);
    free(err);
}
