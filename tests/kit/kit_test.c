/* SPDX-License-Identifier: MIT */
/*
 * The kit's own tests: that it finds what must_fail does wrong and says so, and that its helpers
 * keep their word.
 */
#include "failing.h"

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

TEST(crash_is_a_failure_that_says_of_what)
{
    check_fails("crash", KIT_WINDOWS ? "killed by exception 0xc0000005" : "killed by SIGSEGV");
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

TEST(leaked_thread_is_found)
{
    check_fails("leak_thread", "leaked: 1 threads");
}

TEST(leaked_program_is_found_and_killed)
{
    check_fails("leak_program", "leaked: process");
    CHECK_INT(kit_descendants(NULL, 0), 0);
}

TEST(leaked_file_is_found)
{
    check_fails("leak_file", "forgotten");
}

static bool has_grandchild(void *unused)
{
    (void)unused;
    return kit_descendants(NULL, 0) == 2;
}

TEST(test_ends_with_its_supervisor)
{
    const char *const argv[] = {MUST_FAIL, "hang_for_long", NULL};
    int pid = kit_start(argv);
    CHECK(kit_wait_until(has_grandchild, NULL, 5000));
    int pids[2];
    kit_descendants(pids, 2);
    kit_end(pid);
    CHECK(kit_pid_gone(pids[0], 5000));
    CHECK(kit_pid_gone(pids[1], 5000));

    /* It could not remove the directory of its test. */
    kit_clear_temp_dir();
}

/* ---- helpers --------------------------------------------------------------------------------- */

TEST(run_captures_the_output_and_the_status)
{
    const char *const argv[] = {MUST_FAIL, "--nonsense", NULL};
    char *out, *err;
    int status;
    CHECK(kit_run(argv, NULL, &out, &err, &status, 5000));
    CHECK_STR(out, "");
    CHECK_CONTAINS(err, "usage: ");
    CHECK_INT(status, 2);
    free(out);
    free(err);
}

TEST(run_kills_at_the_deadline)
{
    const char *const argv[] = {MUST_FAIL, "--in-process", "hang_for_long", NULL};
    int status;
    CHECK(!kit_run(argv, NULL, NULL, NULL, &status, 100));
    CHECK_INT(status, -9);
    kit_clear_temp_dir();
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
    CHECK(!kit_pid_gone(kit_own_pid(), 1));
}

TEST(killed_process_is_gone)
{
    const char *const argv[] = {MUST_FAIL, "--in-process", "hang_for_long", NULL};
    int pid = kit_start(argv);
    CHECK(kit_pid_kill(pid));
    CHECK(kit_pid_gone(pid, 5000));
    kit_end(pid);
    kit_clear_temp_dir();
}

static void add_one(void *count)
{
    ++*(int *)count;
}

TEST(joined_thread_has_run)
{
    int count = 0;
    kit_thread_join(kit_thread_start(add_one, &count));
    CHECK_INT(count, 1);
}

TEST(temporary_directory_is_private_and_empty)
{
    CHECK_CONTAINS(kit_temp_dir(), "bh-test-");
    CHECK_INT(kit_clear_temp_dir(), 0);
}
