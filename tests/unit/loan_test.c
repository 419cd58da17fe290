/* SPDX-License-Identifier: MIT */
/*
 * Borrowed replies and the memory that workers keep, on the fake platform: who holds a worker, who
 * lets go of it, and when it is told to give back.
 */
#include "world.h"

#include "core/pool_internal.h"
#include "failing_alloc.h"

static bool large;

/* Refuses the nth allocation from now on; 0: none. */
static void failing_alloc_at(long n)
{
    heap.countdown = n - 1;
}

static void lend(const struct bhp_call *call, struct bhf_request *plan)
{
    (void)call;
    plan->lends = true;
    plan->large = large;
}

static bh_pool *begin(const struct bh_pool_options *options)
{
    world_begin(0);
    world.on_request = lend;
    large = false;
    return world_open(options);
}

static struct world_call *borrow(bh_pool *pool, const char *method)
{
    struct world_call *call = world_prepare(pool, method);

    call->request.borrow = true;
    return world_send(call);
}

static const struct bh_result *borrowed(struct world_call *call)
{
    const struct bh_result *result = world_result(call);

    CHECK_INT(result->outcome, BH_OUTCOME_REPLIED);
    CHECK(result->borrowed);
    CHECK_BYTES(result->reply.as.bytes, "borrowed", 8);
    return result;
}

static void give_back(struct world_call *call)
{
    bh_result_deinit(&call->result);
    call->freed = true;
}

TEST(a_borrowed_reply_holds_its_worker_until_it_is_given_back)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool = begin(&options);
    struct world_call *held = borrow(pool, "reply 5");

    borrowed(held);
    CHECK_INT(pool->count[BH_WORKER_LEASED], 1);
    CHECK_INT(pool->running, 0);
    struct world_call *next = world_call(pool, "reply 5");
    world_sleep(1000);
    CHECK(!next->ended);
    give_back(held);
    CHECK_INT(world_result(next)->outcome, BH_OUTCOME_REPLIED);
    CHECK(!next->result.borrowed);
    world_close(pool);
    world_end();
}

TEST(who_does_not_ask_does_not_borrow)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool = begin(&options);

    CHECK(!world_ask(pool, "reply 5")->borrowed);
    CHECK(world_result(borrow(pool, "fail 5"))->outcome == BH_OUTCOME_FAILED);
    CHECK_INT(pool->count[BH_WORKER_IDLE], 1);
    world_close(pool);
    world_end();
}

TEST(no_deadline_applies_to_what_is_borrowed)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool = begin(&options);
    struct world_call *held = world_prepare(pool, "reply 5");

    held->request.borrow = true;
    held->request.deadline_ms = 50;
    held->request.no_progress_ms = 20;
    borrowed(world_send(held));
    world_sleep(10000);
    CHECK_INT(pool->count[BH_WORKER_LEASED], 1);
    give_back(held);
    CHECK_INT(pool->count[BH_WORKER_IDLE], 1);
    world_close(pool);
    world_end();
}

TEST(a_worker_whose_reply_is_borrowed_leaves_when_it_is_given_back)
{
    struct bh_pool_options options = world_options();

    options.recycle_requests = 1;
    bh_pool *pool = begin(&options);
    struct world_call *held = borrow(pool, "reply 5");
    borrowed(held);
    world_sleep(100);
    CHECK_INT(pool->count[BH_WORKER_LEASED], 1);
    give_back(held);
    world_sleep(100);
    CHECK_INT(pool->quits, 1);
    world_close(pool);
    world_end();
}

TEST(a_replacement_waits_for_what_is_borrowed)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool = begin(&options);
    struct world_call *held = borrow(pool, "reply 5");

    borrowed(held);
    CHECK_INT(bh_pool_replace(pool), BH_OK);
    world_sleep(1000);
    CHECK(pool->replacing);
    give_back(held);
    world_sleep(1000);
    CHECK(!pool->replacing);
    world_close(pool);
    world_end();
}

TEST(a_pool_that_closes_does_not_wait_for_what_is_borrowed)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool = begin(&options);
    struct world_call *held = borrow(pool, "reply 5");

    borrowed(held);
    int64_t before = world_ms();
    world_close(pool);
    CHECK(world_ms() - before < 100);
    CHECK_BYTES(held->result.reply.as.bytes, "borrowed", 8);
    give_back(held);
    world_end();
}

TEST(a_reply_can_be_borrowed_from_a_pool_that_is_closing)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool = begin(&options);
    struct world_call *held = borrow(pool, "reply 50");

    world_sleep(20);
    bh_pool_drain(pool);
    borrowed(held);
    world_close(pool);
    give_back(held);
    world_end();
}

static void die_at_40(uint64_t nth, struct bhf_start *plan)
{
    if (nth == 1)
        plan->exit_ms = 40;
}

TEST(the_death_of_the_worker_takes_nothing_away)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    world.on_request = lend;
    world.on_start = die_at_40;
    bh_pool *pool = world_open(&options);
    struct world_call *held = borrow(pool, "reply 5");
    borrowed(held);
    world_sleep(200);
    CHECK_INT(pool->count[BH_WORKER_LEASED], 0);
    CHECK_INT(world_ask(pool, "reply 5")->outcome, BH_OUTCOME_REPLIED);
    CHECK_BYTES(held->result.reply.as.bytes, "borrowed", 8);
    give_back(held);
    CHECK_INT(pool->count[BH_WORKER_IDLE], 1);
    world_close(pool);
    world_end();
}

TEST(completions_hold_their_workers_too)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool = begin(&options);
    struct world_call *calls[2];

    for (int i = 0; i < 2; i++) {
        calls[i] = world_prepare(pool, "reply 5");
        calls[i]->request.borrow = true;
        calls[i]->way = i == 0 ? WORLD_TOLD : WORLD_TAKEN;
        world_send(calls[i]);
    }
    world_sleep(100);
    CHECK(calls[0]->ended);
    CHECK_INT(pool->count[BH_WORKER_LEASED], 1);
    give_back(calls[0]);
    world_sleep(100);
    CHECK_INT(pool->count[BH_WORKER_LEASED], 1); /* for one that nobody has taken */
    world_close(pool);
    world_end();
}

TEST(without_memory_for_a_loan_the_reply_is_copied)
{
    struct bh_pool_options options = world_options();

    bhi_alloc_hook = failing_heap_hook;
    bh_pool *pool = begin(&options);

    CHECK_INT(world_ask(pool, "reply 5")->outcome, BH_OUTCOME_REPLIED);
    for (unsigned n = 1; n < 6; n++) {
        struct world_call *call = world_prepare(pool, "reply 5");
        call->request.borrow = true;
        failing_alloc_at(n);
        world_send(call);
        const struct bh_result *result = world_result(call);
        failing_alloc_at(0);
        CHECK(result->outcome == BH_OUTCOME_REPLIED || result->outcome == BH_OUTCOME_REFUSED);
        CHECK((result->loan != NULL) == result->borrowed);
        give_back(call);
    }
    CHECK_INT(pool->count[BH_WORKER_LEASED], 0);
    world_close(pool);
    world_end();
}

/* ---- sessions ---- */

static bh_session *open_session(bh_pool *pool, uint32_t lease_ms)
{
    struct bh_session_options options = BH_SESSION_INIT;
    bh_session *session;

    options.take_last = true;
    options.keep_worker = true;
    options.lease_ms = lease_ms;
    CHECK_INT(bh_session_open(&session, pool, &options, NULL), BH_OK);
    return session;
}

static struct world_call *borrow_in(bh_session *session, bh_pool *pool)
{
    struct world_call *call = world_prepare(pool, "reply 5");

    call->request.borrow = true;
    call->session = session;
    return world_send(call);
}

TEST(a_session_keeps_its_worker_while_a_reply_is_borrowed)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool = begin(&options);
    bh_session *session = open_session(pool, 0);
    struct world_call *held = borrow_in(session, pool);

    borrowed(held);
    struct world_call *second = borrow_in(session, pool);
    CHECK_INT(world_result(second)->refusal, BH_REFUSAL_INVALID);
    give_back(held);
    struct world_call *third = borrow_in(session, pool);
    borrowed(third);
    bh_session_close(session);
    CHECK_INT(pool->count[BH_WORKER_LEASED], 1);
    give_back(third);
    CHECK_INT(pool->count[BH_WORKER_IDLE], 1);
    world_close(pool);
    world_end();
}

TEST(a_lease_that_is_over_waits_for_what_is_borrowed)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool = begin(&options);
    bh_session *session = open_session(pool, 100);
    struct world_call *held = borrow_in(session, pool);

    borrowed(held);
    world_sleep(200);
    CHECK(bh_session_lost(session));
    CHECK_INT(pool->count[BH_WORKER_LEASED], 1);
    give_back(held);
    world_sleep(100);
    CHECK_INT(pool->quits, 1);
    bh_session_close(session);
    world_close(pool);
    world_end();
}

TEST(a_sessions_buffer_is_its_own)
{
    struct bh_pool_options options = world_options();

    bhi_alloc_hook = failing_heap_hook;
    bh_pool *pool = begin(&options);
    bh_session *session = open_session(pool, 0);
    void *at, *again;

    CHECK_INT(bh_session_buffer(session, 1000, &at), BH_OK);
    CHECK_INT(bh_session_buffer(session, 500, &again), BH_OK);
    CHECK(at == again);
    CHECK_INT(bh_session_buffer(session, 5000, &at), BH_OK);
    CHECK_INT(bh_session_buffer(session, SIZE_MAX, &again), BH_E_TOO_LARGE);
    failing_alloc_at(1);
    CHECK_INT(bh_session_buffer(session, 100000, &at), BH_E_MEMORY);
    failing_alloc_at(0);
    CHECK(at == NULL);
    CHECK_INT(bh_session_buffer(session, 100, &at), BH_OK);
    world_close(pool);
    memset(at, 1, 100);
    CHECK_INT(bh_session_buffer(session, 100, &again), BH_E_STATE);
    bh_session_close(session);
    world_end();
}

/* ---- giving back what is kept ---- */

TEST(a_worker_that_rests_gives_back_what_its_last_large_request_needed)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool = begin(&options);

    large = true;
    world_ask(pool, "reply 5");
    large = false;
    world_sleep(900);
    world_ask(pool, "reply 5"); /* a small one does not count */
    CHECK_INT(bhf_trims(), 0);
    world_sleep(150);
    CHECK_INT(bhf_trims(), 1);
    world_sleep(10000);
    CHECK_INT(bhf_trims(), 1);
    world_ask(pool, "reply 5");
    world_sleep(10000);
    CHECK_INT(bhf_trims(), 1);
    world_close(pool);
    world_end();
}

TEST(a_busy_worker_gives_back_when_it_rests)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool = begin(&options);

    large = true;
    world_ask(pool, "reply 5");
    large = false;
    world_ask(pool, "reply 3000");
    world_sleep(10);
    CHECK_INT(bhf_trims(), 1);
    world_close(pool);
    world_end();
}

TEST(what_is_borrowed_is_not_given_back_by_time)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool = begin(&options);

    large = true;
    struct world_call *held = borrow(pool, "reply 5");
    borrowed(held);
    world_sleep(5000);
    CHECK_INT(bhf_trims(), 0);
    give_back(held);
    world_sleep(10);
    CHECK_INT(bhf_trims(), 1);
    world_close(pool);
    world_end();
}

TEST(a_session_between_its_calls_gives_back_too)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool = begin(&options);
    bh_session *session = open_session(pool, 0);

    large = true;
    struct world_call *call = borrow_in(session, pool);
    borrowed(call);
    give_back(call);
    world_sleep(1100);
    CHECK_INT(bhf_trims(), 1);
    bh_session_close(session);
    world_close(pool);
    world_end();
}
