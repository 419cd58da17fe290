/* SPDX-License-Identifier: MIT */
/*
 * The kit's own tests: that it finds what must_fail does wrong and says so, and that its helpers
 * keep their word.
 *
 * not-under: wine
 */
#include "check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST_FAIL BH_TEST_DIR "/must_fail"

/* Runs one test of must_fail. @return what it said, to be freed */
static char *run_must_fail(const char *name, int expected_status)
{
    const char *const argv[] = {MUST_FAIL, name, NULL};
    char *out;
    int status;
    CHECK(kit_run(argv, NULL, &out, NULL, &status, 10000));
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), expected_status);
    return out;
}

static void check_fails(const char *name, const char *words)
{
    char heading[100];
    snprintf(heading, sizeof heading, "not ok 1 - %s\n", name);
    char *out = run_must_fail(name, 1);
    CHECK_CONTAINS(out, heading);
    CHECK_CONTAINS(out, words);
    CHECK_CONTAINS(out, "\n0 passed, 1 failed\n");
    free(out);
}

/* ---- verdicts -------------------------------------------------------------------------------- */

TEST(failed_checks_say_where_and_what)
{
    check_fails("wrong_condition", "tests/kit/must_fail.c:");
    check_fails("wrong_condition", "CHECK(1 + 1 == 3)");
    check_fails("wrong_int", "CHECK_INT(6 * 7, 41): 42 is not 41");
    check_fails("wrong_string", "\"left\"\n# is not\n#   \"right\"");
    check_fails("wrong_part", "\"haystack\"\n# does not contain\n#   \"needle\"");
    check_fails("wrong_bytes", "byte 2 of 3: 0x63 is not 0x64");
}

TEST(check_on_another_thread_fails_the_test)
{
    check_fails("wrong_on_thread", "on a thread");
}

TEST(crash_is_a_failure_that_names_the_signal)
{
    check_fails("crash", "killed by SIGABRT");
}

TEST(early_exit_is_a_failure)
{
    check_fails("early_exit", "exited in the middle of the test");
}

TEST(hang_is_a_failure_that_shows_the_output_so_far)
{
    check_fails("stuck", "about to be stuck\n# timed out after");
}

TEST(skip_is_neither)
{
    char *out = run_must_fail("skipped", 77);
    CHECK_CONTAINS(out, "ok 1 - skipped # SKIP\n# no luck here\n");
    CHECK_CONTAINS(out, "0 passed, 0 failed\n");
    free(out);
}

TEST(passing_test_is_silent)
{
    char *out = run_must_fail("harmless", 0);
    CHECK_STR(out, "ok 1 - harmless\n1..1\n1 passed, 0 failed\n");
    free(out);
}

TEST(unknown_name_is_an_error)
{
    free(run_must_fail("no_such_test", 1));
}

TEST(list_is_in_the_order_of_the_file)
{
    char *out = run_must_fail("--list", 0);
    CHECK(strncmp(out, "wrong_condition\nwrong_int\nwrong_string\n", 39) == 0);
    CHECK_CONTAINS(out, "leak_file\n");
    free(out);
}

/* ---- leaks ----------------------------------------------------------------------------------- */

TEST(leaked_descriptor_is_found)
{
    check_fails("leak_descriptor", "-> /dev/null");
}

TEST(leaked_memory_files_are_found)
{
    check_fails("leak_memory_file", "-> /memfd:forgotten");
    check_fails("leak_memory_mapping", "leaked: mapping of /memfd:mapped");
}

TEST(leaked_thread_is_found)
{
    check_fails("leak_thread", "leaked: 1 threads");
}

TEST(leaked_processes_are_found_and_killed)
{
    check_fails("leak_zombie", "not reaped");
    check_fails("leak_child", "leaked: process");
    check_fails("leak_daemon", "leaked: process");
    check_fails("leak_program", "(sleep)");
    CHECK_INT(kit_descendants(NULL, 0), 0);
}

TEST(leaked_file_is_found)
{
    check_fails("leak_file", "/forgotten");
}

static bool has_grandchild(void *unused)
{
    (void)unused;
    return kit_descendants(NULL, 0) == 2;
}

TEST(test_ends_with_its_supervisor)
{
    const char *const argv[] = {MUST_FAIL, "hang_for_long", NULL};
    int pid = kit_spawn(argv, -1, -1, -1);
    CHECK(kit_wait_until(has_grandchild, NULL, 5000));
    int pids[2];
    kit_descendants(pids, 2);
    kill(pid, SIGKILL);
    CHECK(kit_pid_gone(pids[0], 5000));
    CHECK(kit_pid_gone(pids[1], 5000));
    CHECK_INT(waitpid(pid, NULL, 0), pid);

    /* It could not remove the directory of its test. */
    const char *const clean_up[] = {"sh", "-c", "rm -r \"$TMPDIR\"/*", NULL};
    CHECK(kit_run(clean_up, NULL, NULL, NULL, NULL, 5000));
}

/* ---- helpers --------------------------------------------------------------------------------- */

TEST(run_captures_both_outputs_and_the_status)
{
    const char *const argv[] = {"sh", "-c", "cat; echo wrong >&2; exit 3", NULL};
    char *out, *err;
    int status;
    CHECK(kit_run(argv, "right", &out, &err, &status, 5000));
    CHECK_STR(out, "right");
    CHECK_STR(err, "wrong\n");
    CHECK_INT(WEXITSTATUS(status), 3);
    free(out);
    free(err);
}

TEST(run_kills_at_the_deadline)
{
    const char *const argv[] = {"sleep", "1000", NULL};
    int status;
    CHECK(!kit_run(argv, NULL, NULL, NULL, &status, 50));
    CHECK_INT(WTERMSIG(status), SIGKILL);
}

static bool never(void *unused)
{
    return unused != NULL;
}

TEST(waiting_ends_at_the_deadline)
{
    int64_t begin = kit_now_ms();
    CHECK(!kit_wait_until(never, NULL, 20));
    CHECK(kit_now_ms() - begin >= 20);
}

TEST(living_process_is_not_gone)
{
    CHECK(!kit_pid_gone(getpid(), 1));
}

TEST(temporary_directory_is_private_and_empty)
{
    CHECK_CONTAINS(kit_temp_dir(), "/bh-test-");
    CHECK_INT(rmdir(kit_temp_dir()), 0);
}
