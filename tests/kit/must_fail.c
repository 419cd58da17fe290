/* SPDX-License-Identifier: MIT */
/*
 * Tests that must not pass: each breaks one promise. kit_test runs them one at a time and reads
 * what the kit says. What only one system can leave behind is in must_fail_SYSTEM.c.
 */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>

#define MUST_FAIL BH_TEST_DIR "/must_fail"

/* ---- checks ---------------------------------------------------------------------------------- */

TEST(wrong_condition)
{
    CHECK(1 + 1 == 3);
}

TEST(wrong_int)
{
    CHECK_INT(6 * 7, 41);
}

TEST(wrong_string)
{
    CHECK_STR("left", "right");
}

TEST(wrong_part)
{
    CHECK_CONTAINS("haystack", "needle");
}

TEST(wrong_bytes)
{
    CHECK_BYTES("abc", "abd", 3);
}

static void check_elsewhere(void *unused)
{
    (void)unused;
    CHECK(!"on a thread");
}

TEST(wrong_on_thread)
{
    kit_thread_join(kit_thread_start(check_elsewhere, NULL));
}

/* ---- ends ------------------------------------------------------------------------------------ */

static int *volatile nowhere;

TEST(crash)
{
    *nowhere = 1;
}

TEST(early_exit)
{
    exit(0);
}

TEST_TIMEOUT(stuck, 1)
{
    puts("about to be stuck");
    kit_hang();
}

TEST(hang_for_long)
{
    kit_hang();
}

TEST(skipped)
{
    SKIP("no %s here", "luck");
}

TEST(harmless)
{
    puts("nothing to see");
}

/* ---- leaks ----------------------------------------------------------------------------------- */

static void hang(void *unused)
{
    (void)unused;
    kit_hang();
}

TEST(leak_thread)
{
    kit_thread_start(hang, NULL);
}

TEST(leak_program)
{
    const char *const argv[] = {MUST_FAIL, "hang_for_long", NULL};
    kit_start(argv);
}

TEST(leak_file)
{
    char path[300];
    snprintf(path, sizeof path, "%s/forgotten", kit_temp_dir());
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    fclose(file);
}
