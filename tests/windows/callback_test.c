/* SPDX-License-Identifier: MIT */
/* timeout: 120 */
/*
 * Callbacks over COM with workers made by hand, which break the protocol or what a decent worker
 * would keep to: see "cb-…" in raw_worker.c.
 */
#include "rig.h"

#include <bulkhead/callback.h>

#include <objbase.h>

#include <stdatomic.h>

struct hearing {
    atomic_int inside; /* callbacks that run now */
    atomic_int called;
    atomic_bool slow_done;
};

static void echo(bh_callback_call *call, const bh_value *arguments, size_t count, void *context)
{
    struct hearing *hearing = context;

    CHECK_INT(atomic_fetch_add(&hearing->inside, 1), 0);
    atomic_fetch_add(&hearing->called, 1);
    CHECK(count == 1 && arguments[0].as.int64 == 7);
    CHECK_INT(bh_callback_reply(call, &arguments[0]), BH_OK);
    atomic_fetch_sub(&hearing->inside, 1);
}

/* Calls the worker, whatever that answers, and takes its time afterwards. */
static void slow(bh_callback_call *call, const bh_value *arguments, size_t count, void *context)
{
    struct hearing *hearing = context;
    bh_value reply;

    (void)arguments, (void)count;
    if (atomic_fetch_add(&hearing->called, 1) > 0)
        return;
    bh_callback_invoke(call, "call", NULL, 0, &reply, NULL);
    bh_value_deinit(&reply);
    kit_pause_ms(300);
    atomic_store(&hearing->slow_done, true);
}

static const struct bh_callback callbacks[] = {
    {"echo", echo, NULL}, {"slow", slow, NULL}, {NULL, NULL, NULL}};

static bh_pool *scripted(const char *script)
{
    static char path[1024], argument[96];
    static const char *arguments[] = {argument, NULL};
    struct bh_pool_options options = rig_options(1);

    snprintf(argument, sizeof(argument), "--script=%s", script);
    options.worker = rig_path(path, sizeof(path), "raw_worker");
    options.arguments = arguments;
    return rig_open(&options);
}

static void call(bh_pool *pool, struct hearing *hearing, uint32_t deadline_ms,
                 struct bh_result *result)
{
    struct bh_request request = BH_REQUEST_INIT;

    request.method = "call";
    request.callbacks = callbacks;
    request.callback_context = hearing;
    request.deadline_ms = deadline_ms;
    bh_pool_call(pool, &request, result);
}

/* The worker replied this number, and so many callbacks ran. */
static void check_reply(const char *script, int64_t number, int called)
{
    struct hearing hearing = {0};
    bh_pool *pool = scripted(script);
    struct bh_result result;

    call(pool, &hearing, 0, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    CHECK_INT(result.reply.as.int64, number);
    CHECK_INT(hearing.called, called);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

static void check_broken(const char *script, const char *text)
{
    struct hearing hearing = {0};
    bh_pool *pool = scripted(script);
    struct bh_result result;

    call(pool, &hearing, 0, &result);
    rig_expect(&result, BH_OUTCOME_DIED);
    CHECK_INT(result.death.cause, BH_CAUSE_PROTOCOL);
    CHECK_CONTAINS(result.death.detail, text);
    CHECK_INT(hearing.called, 0);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(a_proper_callback_is_answered)
{
    check_reply("cb-good", 0 /* S_OK */, 1);
}

/* It lends its request to a thread of the library's. */
TEST(a_caller_in_an_apartment_of_its_own_has_callbacks_too)
{
    CHECK(SUCCEEDED(CoInitializeEx(NULL, COINIT_APARTMENTTHREADED)));
    check_reply("cb-good", 0, 1);
    CoUninitialize();
}

TEST(what_is_no_callback_breaks_the_protocol)
{
    check_broken("cb-number", "without a name");
    check_broken("cb-nothing", "without a name");
    check_broken("cb-money", "its callback: ");
}

TEST(the_object_has_one_method)
{
    check_reply("cb-other-id", (int32_t)0x80020003 /* DISP_E_MEMBERNOTFOUND */, 0);
}

TEST(an_object_that_was_kept_is_of_no_use_later)
{
    struct hearing hearing = {0};
    bh_pool *pool = scripted("cb-late");
    struct bh_result result;

    call(pool, &hearing, 0, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    bh_result_deinit(&result);
    for (int i = 0; i < 20; i++) {
        call(pool, &hearing, 0, &result);
        rig_expect(&result, BH_OUTCOME_REPLIED);
        CHECK((int32_t)result.reply.as.int64 < 0);
        bh_result_deinit(&result);
    }
    CHECK_INT(hearing.called, 0);
    bh_pool_close(pool);
}

TEST(callbacks_from_several_threads_run_one_at_a_time)
{
    struct hearing hearing = {0};
    bh_pool *pool = scripted("cb-threads");
    struct bh_result result;

    call(pool, &hearing, 0, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    CHECK(result.reply.as.int64 > 0);
    CHECK_INT(result.reply.as.int64, hearing.called);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(a_reply_while_a_callback_runs_waits_for_it)
{
    struct hearing hearing = {0};
    bh_pool *pool = scripted("cb-leave");
    struct bh_result result;

    call(pool, &hearing, 0, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    CHECK_INT(result.reply.as.int64, 5);
    CHECK(hearing.slow_done);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(endless_callbacks_end_by_deadline)
{
    struct hearing hearing = {0};
    bh_pool *pool = scripted("cb-endless");
    struct bh_result result;

    call(pool, &hearing, 1000, &result);
    rig_expect(&result, BH_OUTCOME_DEADLINE);
    CHECK(result.has_death);
    CHECK(hearing.called > 0);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}
