/* SPDX-License-Identifier: MIT */
/* timeout: 120 */
/*
 * Workers that break the protocol, one way each: made by hand, see raw_worker.c.
 */
#include "rig.h"

#include <objbase.h>
#include <oleauto.h>

static struct bh_pool_options scripted(const char *script)
{
    static char path[1024], argument[96];
    static const char *arguments[] = {argument, NULL};
    struct bh_pool_options options = rig_options(1);

    snprintf(argument, sizeof(argument), "--script=%s", script);
    options.worker = rig_path(path, sizeof(path), "raw_worker");
    options.arguments = arguments;
    options.crash_loop_limit = 1;
    return options;
}

static void call(const char *script, struct bh_result *result)
{
    struct bh_pool_options options = scripted(script);
    bh_pool *pool = rig_open(&options);

    bh_pool_invoke(pool, "call", NULL, 0, result);
    printf("# %s: %s\n", script, rig_describe(result));
    bh_pool_close(pool);
}

/* The start-up fails for this cause and with this text. */
static void check_start(const char *script, enum bh_cause cause, const char *detail)
{
    struct bh_result result;

    call(script, &result);
    rig_expect(&result, BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_CRASH_LOOP);
    CHECK_INT(result.death.phase, BH_PHASE_START_UP);
    CHECK_INT(result.death.cause, cause);
    CHECK_CONTAINS(result.text, detail);
    bh_result_deinit(&result);
}

/* The worker dies in its request, of this cause. */
static void check_call(const char *script, enum bh_cause cause, const char *detail)
{
    struct bh_result result;

    call(script, &result);
    rig_expect(&result, BH_OUTCOME_DIED);
    CHECK_INT(result.death.cause, cause);
    CHECK_INT(result.delivery, BH_DELIVERY_STARTED);
    CHECK_CONTAINS(result.death.detail, detail);
    bh_result_deinit(&result);
}

TEST(one_that_keeps_to_it_is_served)
{
    struct bh_result result;

    call("good", &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    CHECK_INT(result.reply.as.int64, 42);
    bh_result_deinit(&result);
}

/* ---- the greeting ---- */

TEST(an_object_that_somebody_else_registered_first_is_not_taken)
{
    check_start("squat", BH_CAUSE_PROTOCOL, "another process's object");
}

TEST(an_object_that_does_not_prove_whose_it_is_is_not_taken)
{
    check_start("no-proof", BH_CAUSE_PROTOCOL, "another process's object");
}

TEST_TIMEOUT(a_greeting_without_an_object_is_a_flaw, 30)
{
    check_start("no-object", BH_CAUSE_PROTOCOL, "cannot be bound");
}

TEST(a_table_of_methods_is_checked)
{
    check_start("methods-number", BH_CAUSE_PROTOCOL, "is a int64");
    check_start("methods-nameless", BH_CAUSE_PROTOCOL, "entry 0 has no name");
    check_start("methods-twice", BH_CAUSE_PROTOCOL, "names call twice");
    check_start("methods-fail:80004001", BH_CAUSE_PROTOCOL, "does not name its methods");
}

TEST(an_end_after_the_ready_event_is_told_as_what_it_is)
{
    check_start("exit-ready", BH_CAUSE_EXIT, "code 6");
    check_start("exit-zero", BH_CAUSE_EXIT, "code 0");
    check_start("methods-crash", BH_CAUSE_FAULT, "heap corruption");
}

TEST(a_greeting_that_hangs_is_ended_by_the_start_timeout)
{
    struct bh_pool_options options = scripted("methods-hang");
    struct bh_result result;

    options.start_timeout_ms = 700;
    bh_pool *pool = rig_open(&options);
    int64_t begin = kit_now_ms();
    bh_pool_invoke(pool, "call", NULL, 0, &result);
    rig_expect(&result, BH_OUTCOME_REFUSED);
    CHECK_INT(result.death.cause, BH_CAUSE_DEADLINE);
    printf("# start-up timeout 700 ms, refused after %lld ms\n", (long long)(kit_now_ms() - begin));
    bh_result_deinit(&result);
    begin = kit_now_ms();
    bh_pool_close(pool);
    CHECK(kit_now_ms() - begin < 2000);
}

/* ---- requests ---- */

TEST(a_dispid_that_the_table_does_not_imply_is_a_flaw)
{
    check_call("ids-other", BH_CAUSE_PROTOCOL, "DISPID 2");
}

/* Not a worker to send the request to again and again. */
TEST(a_flaw_before_the_request_has_started_ends_it_all_the_same)
{
    check_call("unstarted:80004005", BH_CAUSE_PROTOCOL, "0x80004005");
}

TEST(a_name_that_the_object_does_not_know_is_no_method)
{
    struct bh_result result;

    call("ids-fail:80020006", &result);
    rig_expect(&result, BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_NO_METHOD);
    bh_result_deinit(&result);
    call("unstarted:80020003", &result);
    rig_expect(&result, BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_NO_METHOD);
    bh_result_deinit(&result);
}

/* Every number that COM has for "gone", in both forms. The process did not end by itself: nobody
 * knows why COM says so, but it must not serve again. */
TEST_TIMEOUT(every_transport_error_ends_the_worker, 90)
{
    static const unsigned long numbers[] = {
        0x80010105, 0x80010108, 0x80010007, 0x80010012, 0x800401FD, 0x800706BA,
        0x800706BE, 0x800706BF, 1722,       1726,       1727,
    };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        char script[32], text[32];
        snprintf(script, sizeof(script), "fail:%lx", numbers[i]);
        snprintf(text, sizeof(text), "0x%08lx", numbers[i]);
        check_call(script, BH_CAUSE_UNKNOWN, text);
    }
}

TEST(any_other_number_is_a_flaw)
{
    check_call("fail:80004005", BH_CAUSE_PROTOCOL, "0x80004005");
    check_call("fail:800703e6", BH_CAUSE_PROTOCOL, "0x800703e6");
    check_call("fail:1", BH_CAUSE_PROTOCOL, "0x00000001");
}

TEST(a_reply_that_no_value_is_like_is_a_flaw)
{
    check_call("reply-dispatch", BH_CAUSE_PROTOCOL, "VT_CY");
}

TEST_TIMEOUT(a_blob_that_is_no_plain_memory_is_a_flaw, 60)
{
    check_call("blob-nothing", BH_CAUSE_PROTOCOL, "its reply");
    check_call("blob-event", BH_CAUSE_PROTOCOL, "its reply");
    check_call("blob-small", BH_CAUSE_PROTOCOL, "its reply");
    check_call("blob-reserved", BH_CAUSE_PROTOCOL, "its reply");
    check_call("blob-file", BH_CAUSE_PROTOCOL, "its reply");
    check_call("blob-self", BH_CAUSE_PROTOCOL, "its reply");
}
