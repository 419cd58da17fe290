/* SPDX-License-Identifier: MIT */
/* timeout: 120 */
/*
 * Arenas against a worker that lies about its own, made by hand (raw_worker): the dispatcher names
 * the flaw, ends the worker and has lost nothing. (The kit looks for handles left open.)
 */
#include "rig.h"

static void call(const char *script, struct bh_result *result)
{
    struct bh_pool_options options = rig_options(1);
    char path[1024], argument[64];
    const char *arguments[] = {argument, NULL};

    options.worker = rig_path(path, sizeof(path), "raw_worker");
    snprintf(argument, sizeof(argument), "--script=%s", script);
    options.arguments = arguments;
    options.max_reply_bytes = UINT64_C(4) << 20;
    bh_pool *pool = rig_open_ready(&options);
    bh_pool_invoke(pool, "call", NULL, 0, result);
    bh_pool_close(pool);
}

static void check_flaw(const char *script)
{
    struct bh_result result;

    call(script, &result);
    if (result.outcome != BH_OUTCOME_DIED || result.death.cause != BH_CAUSE_PROTOCOL)
        FAIL("%s: %s", script, rig_describe(&result));
    CHECK_CONTAINS(result.death.detail, "leads to no such memory");
    bh_result_deinit(&result);
}

TEST(an_arena_as_it_should_be_is_read)
{
    struct bh_result result;

    call("blob-good", &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    CHECK_INT(result.reply.type, BH_BYTES);
    CHECK_INT(result.reply.length, 1 << 20);
    CHECK_INT(result.reply.as.bytes[12345], 0);
    bh_result_deinit(&result);
}

TEST_TIMEOUT(places_outside_of_it_are_refused, 60)
{
    check_flaw("blob-place");
    check_flaw("blob-end");
    check_flaw("blob-crooked");
}

TEST(another_generation_than_the_one_announced_is_refused)
{
    check_flaw("blob-generation");
}

TEST_TIMEOUT(what_is_no_plain_memory_is_refused, 90)
{
    check_flaw("blob-nothing");
    check_flaw("blob-event");
    check_flaw("blob-small");
    check_flaw("blob-reserved");
    check_flaw("blob-file");
    check_flaw("blob-self");
}

/* This worker never looks at its arguments, so each larger arena is announced in vain. */
TEST(one_that_the_worker_never_takes_is_closed_there)
{
    static const char *const arguments[] = {"--script=count-handles", NULL};
    static unsigned char bytes[8 << 20];
    struct bh_pool_options options = rig_options(1);
    int64_t first = 0, handles = 0;
    char path[1024];

    options.worker = rig_path(path, sizeof(path), "raw_worker");
    options.arguments = arguments;
    bh_pool *pool = rig_open_ready(&options);
    for (size_t size = 64 << 10; size <= sizeof(bytes); size *= 2) {
        bh_value value = bh_value_view_bytes(bytes, size);
        struct bh_result result;
        bh_pool_invoke(pool, "call", &value, 1, &result);
        rig_expect(&result, BH_OUTCOME_REPLIED);
        CHECK_INT(bh_value_get_int64(&result.reply, &handles), BH_OK);
        bh_result_deinit(&result);
        if (first == 0)
            first = handles;
    }
    CHECK(first > 0);
    CHECK_INT(handles, first);
    bh_pool_close(pool);
}

TEST(one_that_no_reply_needs_is_refused)
{
    check_flaw("blob-huge");
}

/* If the second arena took the place of the first, what is borrowed in that would be gone. */
TEST(a_borrowed_reply_lies_in_one_arena)
{
    static const char *const arguments[] = {"--script=blob-two", NULL};
    struct bh_pool_options options = rig_options(1);
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_result result;
    char path[1024];

    options.worker = rig_path(path, sizeof(path), "raw_worker");
    options.arguments = arguments;
    bh_pool *pool = rig_open_ready(&options);
    request.method = "call";
    request.borrow = true;
    bh_pool_call(pool, &request, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    CHECK(result.borrowed);
    CHECK_INT(result.reply.as.items[0].as.bytes[(1 << 20) - 1], 0);
    bh_result_deinit(&result);
    bh_pool_call(pool, &request, &result);
    rig_expect(&result, BH_OUTCOME_DIED);
    CHECK_STR(bh_cause_name(result.death.cause), "broke the protocol");
    CHECK_CONTAINS(result.death.detail, "leads to no such memory");
    bh_result_deinit(&result);
    bh_pool_close(pool);
}
