/* SPDX-License-Identifier: MIT */
/* What the kit does on every system. */
#include "check.h"

TEST(checks_that_hold_do_nothing)
{
    const char *none = NULL;
    CHECK(1 + 1 == 2);
    CHECK_INT(-1, -1);
    CHECK_INT(INT64_MIN, INT64_MIN);
    CHECK_STR("equal", "equal");
    CHECK_STR(none, NULL);
    CHECK_CONTAINS("haystack", "st");
    CHECK_BYTES("a\0b", "a\0b", 3);
}

static bool count_to_three(void *count)
{
    return ++*(int *)count == 3;
}

TEST(waiting_ends_when_the_condition_holds)
{
    int count = 0;
    CHECK(kit_wait_until(count_to_three, &count, 10000));
    CHECK_INT(count, 3);
}

TEST(arguments_of_checks_are_evaluated_once)
{
    int count = 0;
    CHECK(++count == 1);
    CHECK_INT(++count, 2);
    CHECK_INT(3, ++count);
    CHECK_INT(count, 3);
}
