/* SPDX-License-Identifier: MIT */
/* timeout: 60 */
/*
 * What Windows alone tells of a death: exception codes, ends that no filter sees, negative exit
 * codes. Causes and phases that every system knows are in tests/integration/death_test.c.
 */
#include "rig.h"

#include <stdlib.h>

struct expectation {
    const char *kind;
    enum bh_cause cause;
    uint32_t exception;
    int exit_code;
    int exiting;
    const char *detail; /* part of the description */
};

static const struct expectation expectations[] = {
    {"violation", BH_CAUSE_FAULT, 0xC0000005, -1, 0, "EXCEPTION_ACCESS_VIOLATION"},
    {"raise", BH_CAUSE_FAULT, 0xE0001234, -1, 0, "0xe0001234"},
    {"overflow", BH_CAUSE_FAULT, 0xC00000FD, -1, 0, "stack overflow"},
    {"thread", BH_CAUSE_FAULT, 0xC0000005, -1, 0, "in thread"},
    {"abort", BH_CAUSE_ABORT, 0, -1, 0, "SIGABRT"},
    {"exit-negative", BH_CAUSE_EXIT, 0, -2, 1, "through exit()"},
    {"fail-fast", BH_CAUSE_FAULT, 0xC0000409, -1, 0, "fail fast"},
    {"heap", BH_CAUSE_FAULT, 0xC0000374, -1, 0, "heap corruption"},
    {"violation-unrecorded", BH_CAUSE_UNKNOWN, 0xC0000005, -1, 0, "EXCEPTION_ACCESS_VIOLATION"},
};

static void check_death(const struct expectation *expected, const struct bh_death *death)
{
    char text[600];

    bh_death_describe(death, text, sizeof(text));
    if (death->cause != expected->cause || death->exception != expected->exception ||
        death->exit_code != expected->exit_code || death->exiting != expected->exiting)
        FAIL("%s: %s", expected->kind, text);
    CHECK_CONTAINS(text, expected->detail);
    bool caught = (death->cause == BH_CAUSE_FAULT && strstr(expected->detail, "fast") == NULL &&
                   strstr(expected->detail, "heap") == NULL) ||
                  death->cause == BH_CAUSE_ABORT;
    CHECK_INT(death->has_fault, caught);
    if (caught && death->exception)
        CHECK(death->register_count > 5 && death->instruction != 0);
    printf("# %s\n", text);
}

TEST_TIMEOUT(a_death_during_a_request_is_told, 60)
{
    struct bh_pool_options options = rig_options(1);
    bh_pool *pool = rig_open_ready(&options);

    for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
        struct bh_result result;
        int64_t begin = kit_now_ms();
        rig_call_text(pool, "mishap", expectations[i].kind, &result);
        int64_t took = kit_now_ms() - begin;
        rig_expect(&result, BH_OUTCOME_DIED);
        CHECK_INT(result.delivery, BH_DELIVERY_STARTED);
        check_death(&expectations[i], &result.death);
        printf("#   known after %lld ms\n", (long long)took);
        bh_result_deinit(&result);
        rig_check_echo(pool);
    }
    bh_pool_close(pool);
}

TEST(times_and_memory_are_known)
{
    struct bh_pool_options options = rig_options(1);
    bh_value mib = bh_value_int64(64);
    struct bh_result result;

    bh_pool *pool = rig_open_ready(&options);
    bh_pool_invoke(pool, "keep", &mib, 1, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    bh_result_deinit(&result);
    rig_call_text(pool, "mishap", "violation", &result);
    rig_expect(&result, BH_OUTCOME_DIED);
    CHECK(result.death.user_us + result.death.system_us > 0);
    printf("# peak %llu, sampled %llu, user %llu us, system %llu us\n",
           (unsigned long long)result.death.max_rss_bytes,
           (unsigned long long)result.death.peak_rss_bytes,
           (unsigned long long)result.death.user_us, (unsigned long long)result.death.system_us);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}
