/* SPDX-License-Identifier: MIT */
/*
 * timeout: 180
 *
 * Exploration: thousands of small worlds, each of another seed: random options, workers that fail
 * in every way, callers that overlap, cancel, run out of time, pools that drain and lose their
 * launcher meanwhile, other threads that come in between wherever no lock is held. The same seed is
 * the same world; BH_SEED=n runs world n alone.
 *
 * What must hold: the pool's invariants at every change of threads (world.c); each request ends
 * once, with its own reply if it was replied, `never started` only if no worker began it; every
 * counter agrees with what the callers saw; nothing is left over.
 */
#include "world.h"

#include "core/pool_internal.h"
#include "failing_alloc.h"

#include <stdio.h>

#define CALLERS 10
#define TOKENS 3

static bh_cancel *tokens[TOKENS];
static bool raised[TOKENS];
static unsigned memory_fails_per_mille;
static uint64_t health; /* how often workers fail to start, in percent */

static uint32_t pick(const uint32_t *from, size_t count)
{
    return from[world_random((uint32_t)count)];
}
#define PICK(...)                                                                                  \
    pick((const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void *explore_hook(void *memory, size_t size)
{
    if (size && memory_fails_per_mille && world_random(1000) < memory_fails_per_mille)
        return NULL;
    return failing_heap_hook(memory, size);
}

static struct bhp_obituary random_end(void)
{
    switch (world_random(6)) {
    case 0:
        return bhf_end_exit(world_random(3), true);
    case 1:
        return bhf_end_exit(1, false);
    case 2:
        return bhf_end_signal(9);
    case 3:
        return bhf_end_signal(11);
    default:
        return bhf_end_fault(world_random(2) ? 0 : 0x1000);
    }
}

static void random_start(uint64_t nth, struct bhf_start *plan)
{
    static const struct bhf_output chatter[] = {{0, "a", 0}, {3, "bc", 0}, {30, "def", 0}};

    (void)nth;
    plan->started_ms = world_random(3);
    plan->ready_ms = plan->started_ms + world_random(8);
    plan->kill_ms = world_random(4);
    plan->quit_ms = PICK(0, 1, 5, 60);
    plan->rss_bytes = (uint64_t)(1 + world_random(4)) << 20;
    plan->rss_per_request = world_random(2) << 18;
    if (world_random(2)) {
        plan->output = chatter;
        plan->output_count = 3;
    }
    if (world_random(10) == 0) {
        plan->exit_ms = world_random(100);
        plan->end = random_end();
    }
    if (world_random(100) >= health)
        return;
    switch (world_random(5)) {
    case 0:
        plan->refused = BH_E_SYSTEM;
        break;
    case 1:
        plan->exit_ms = world_random(5);
        plan->end = bhf_end_not_started(2, "no such file", world_random(2));
        break;
    case 2:
        plan->ready_ms = BHF_NEVER;
        break;
    case 3:
        plan->ready_ms = 20; /* about the start timeout */
        break;
    default:
        plan->exit_ms = plan->ready_ms - (plan->ready_ms > 0 ? 1 : 0);
        plan->end = random_end();
        break;
    }
}

static void random_request(const struct bhp_call *call, struct bhf_request *plan)
{
    (void)call;
    plan->begin_ms = world_random(4) ? 0 : world_random(4);
    plan->end_ms = plan->begin_ms + world_random(25);
    plan->nudged_ms = world_random(15);
    plan->progress_ms = world_random(2) ? BHF_NEVER : 3;
    plan->progress_total = 4;
    plan->end = random_end();
    plan->output = world_random(3) ? NULL : "said\n";
    plan->rss_bytes = world_random(8) ? 0 : 8 << 20;
    plan->lends = world_random(2);
    plan->large = world_random(2);
}

static struct bh_pool_options random_options(void)
{
    struct bh_pool_options options = world_options();

    options.max_workers = 1 + world_random(4);
    options.min_workers = world_random(options.max_workers + 1);
    options.standby_workers = world_random(3);
    options.queue_length = PICK(1, 2, 100);
    options.start_timeout_ms = PICK(20, 100);
    options.deadline_ms = PICK(0, 0, 40);
    options.no_progress_ms = PICK(0, 0, 8);
    options.grace_ms = PICK(0, 5, 10);
    options.idle_timeout_ms = PICK(0, 10, 50);
    options.recycle_requests = PICK(0, 0, 1, 3);
    options.recycle_seconds = PICK(0, 0, 1);
    options.recycle_rss_bytes = PICK(0, 0, 3) << 20;
    options.recycle_jitter_percent = PICK(0, 50);
    options.backoff_initial_ms = PICK(1, 10);
    options.backoff_max_ms = PICK(10, 80);
    options.crash_loop_limit = PICK(1, 3, 5);
    options.drain_timeout_ms = PICK(0, 20, 100);
    options.memory_limit_bytes = PICK(0, 0, 5) << 20;
    options.output_tail_bytes = PICK(0, 4, 1024);
    options.event_mask = PICK(0, UINT32_MAX);
    return options;
}

static struct world_call *random_call(bh_pool *pool)
{
    static const char *const methods[] = {
        "reply",      "reply",         "reply",     "reply",         "fail",
        "die",        "die-unstarted", "hang",      "cooperate",     "broken",
        "unreadable", "no-method",     "too-large", "die-committed", "memory"};
    struct world_call *call =
        world_prepare(pool, methods[world_random(sizeof(methods) / sizeof(methods[0]))]);
    uint32_t token = world_random(2 * TOKENS);

    call->way = PICK(WORLD_CALLER, WORLD_TOLD, WORLD_TAKEN);
    call->wait_ms = world_random(80);
    call->request.deadline_ms = PICK(0, 0, 15, 60);
    call->request.no_progress_ms = PICK(0, 0, 0, 10);
    call->request.retries = PICK(0, 0, 1, 3);
    call->request.cancel = token < TOKENS ? tokens[token] : NULL;
    call->request.borrow = world_random(3) == 0;
    call->request.small = world_random(3) > 0;
    return world_send(call);
}

/* Gives back what is borrowed; of `one_in` only one. */
static void give_back(uint32_t one_in)
{
    for (size_t i = 0; i < world.call_count; i++) {
        struct bh_result *result = &world.calls[i].result;
        if (!world.calls[i].ended || !result->loan || world_random(one_in) > 0)
            continue;
        MUST(result->reply.length == 8 && memcmp(result->reply.as.bytes, "borrowed", 8) == 0);
        struct bh_loan *loan = result->loan;
        result->loan = NULL;
        bh_value_deinit(&result->reply);
        bhi_loan_return(loan);
    }
}

static void raise_token(uint32_t i)
{
    raised[i] = true;
    if (tokens[i])
        bh_cancel_raise(tokens[i]);
}

/* From inside an event: what a callback may do. */
static void meddle(const struct bh_event *event)
{
    struct bh_snapshot snapshot;

    (void)event;
    switch (world_random(30)) {
    case 0:
        raise_token(world_random(TOKENS));
        break;
    case 1:
        if (world.pool && bh_pool_snapshot(world.pool, &snapshot) == BH_OK)
            bh_snapshot_deinit(&snapshot);
        break;
    case 2:
        if (world.pool)
            bh_pool_replace(world.pool);
        break;
    default:
        break;
    }
}

static void check_snapshot(bh_pool *pool)
{
    struct bh_snapshot snapshot;
    uint64_t ended = 0, workers = 0;

    if (bh_pool_snapshot(pool, &snapshot) == BH_OK) {
        for (unsigned i = 0; i < BH_OUTCOME_COUNT; i++)
            ended += snapshot.outcome[i];
        for (unsigned i = 0; i < BH_WORKER_STATE_COUNT; i++)
            workers += snapshot.worker_state[i];
        CHECK_INT(snapshot.submitted, ended + snapshot.queued + snapshot.running);
        CHECK_INT(workers, snapshot.worker_count);
        for (size_t i = 0; i < snapshot.worker_count; i++)
            CHECK(snapshot.workers[i].progress_done <= 4);
        bh_snapshot_deinit(&snapshot);
    }
}

static void act(bh_pool *pool)
{
    bh_value methods;

    switch (world_random(8)) {
    case 0:
        raise_token(world_random(TOKENS));
        break;
    case 1:
        bhf_lose_nurseries();
        break;
    case 2:
        CHECK(bh_pool_replace(pool) == BH_OK);
        break;
    case 3:
        bh_pool_wait_ready(pool, world_random(2), world_random(30), NULL);
        break;
    case 4:
        bh_pool_methods(pool, world_random(30), &methods, NULL);
        bh_value_deinit(&methods);
        break;
    case 5:
        bhf_advance(bhp_now() + world_random(20) * BHF_MS);
        break;
    default:
        check_snapshot(pool);
        break;
    }
}

/* What must hold of one result, whatever happened. */
static void check_result(const struct world_call *call)
{
    const struct bh_result *result = &call->result;
    bool began = call->begun > 0;
    /* Behind one whose reply broke the protocol: what its worker says proves nothing. */
    bool doubted = call->request.small && result->has_death &&
                   result->death.cause == BH_CAUSE_PROTOCOL &&
                   result->death.serial != result->serial;

    MUST(doubted || (began) == (result->delivery != BH_DELIVERY_NEVER_STARTED));
    MUST(call->begun <= call->request.retries + 1);
    MUST(call->begun <= result->attempts);
    MUST(result->attempts <= call->request.retries + 1);
    MUST(result->queued_us <= result->elapsed_us);
    MUST((result->refusal != BH_REFUSAL_NONE) == (result->outcome == BH_OUTCOME_REFUSED));
    switch (result->outcome) {
    case BH_OUTCOME_REPLIED:
        MUST(began && (result->borrowed || bh_value_equal(&result->reply, &call->argument)));
        break;
    case BH_OUTCOME_FAILED:
        MUST(began && result->code == 7);
        break;
    case BH_OUTCOME_DIED:
        MUST(result->has_death && result->death.cause != BH_CAUSE_QUIT);
        MUST(began || doubted);
        break;
    default:
        break;
    }
    if (result->outcome == BH_OUTCOME_DIED || result->outcome == BH_OUTCOME_REPLIED)
        MUST(result->serial > 0);
    if (result->outcome == BH_OUTCOME_DIED && result->death.phase == BH_PHASE_REQUEST && !doubted)
        MUST((result->death.serial) == (result->serial));
}

/* Long after everything was sent: who has a token that was raised or a deadline that passed is out,
 * wherever it was. */
static void check_who_is_still_in(void)
{
    world.on_event = NULL; /* what is raised while we take the rest would be too late */
    for (unsigned i = 0; i < 2 * CALLERS; i++) { /* each may have waited for the one before */
        world_take(world.pool, 0);
        give_back(1);
        world_sleep(150);
    }
    world_take(world.pool, 0);
    for (size_t i = 0; i < world.call_count; i++) {
        const struct world_call *call = &world.calls[i];
        bool cancelled = false;
        for (unsigned n = 0; n < TOKENS; n++)
            cancelled |= raised[n] && tokens[n] && call->request.cancel == tokens[n];
        MUST(call->ended || (!cancelled && !call->request.deadline_ms));
    }
}

static void live_in_a_pool(bh_pool *pool)
{
    for (unsigned i = 0; i < CALLERS; i++)
        random_call(pool);
    for (unsigned i = world_random(6); i > 0; i--) {
        world_sleep(world_random(40));
        give_back(3);
        act(pool);
    }
    world_sleep(world_random(60));
    if (world_random(3) == 0) /* else some are still on their way when it closes */
        check_who_is_still_in();
    while (pool->submitted < CALLERS) { /* nobody may come in while it closes; all may be in */
        world_sleep(1);
        give_back(3);
    }
    if (world_random(2))
        return;
    bh_pool_drain(pool);
    world_take(pool, BH_WAIT_FOREVER);
    for (size_t i = 0; i < world.call_count; i++)
        world_result(&world.calls[i]);
    check_snapshot(pool);
}

static void explore(uint64_t seed)
{
    struct bh_pool_options options;
    struct bh_problem problem;
    bh_pool *pool;

    world_begin(seed);
    heap = (struct failing_heap){0, -1, false};
    memory_fails_per_mille = world_random(4) ? 0 : 20;
    health = PICK(0, 10, 50, 100);
    bhf_set_slots(PICK(1, 2, 4, 8));
    for (unsigned i = 0; i < TOKENS; i++) {
        tokens[i] = bh_cancel_new();
        raised[i] = false;
    }
    world.on_start = random_start;
    world.on_request = random_request;
    world.on_event = meddle;
    options = random_options();
    if (bh_pool_open(&pool, &options, &problem) == BH_OK) {
        world.pool = pool;
        live_in_a_pool(pool);
        world_close(pool);
    } else {
        MUST(memory_fails_per_mille > 0 && problem.code == BH_E_MEMORY);
    }
    for (size_t i = 0; i < world.call_count; i++) {
        world_result(&world.calls[i]);
        check_result(&world.calls[i]);
    }
    for (unsigned i = 0; i < TOKENS; i++)
        bh_cancel_free(tokens[i]);
    world_end();
    MUST((heap.alive) == (0));
}

TEST_TIMEOUT(whatever_happens_each_request_ends_once_and_rightly, 170)
{
    const char *alone = getenv("BH_SEED");
    uint64_t first = alone ? strtoull(alone, NULL, 10) : 1;
    uint64_t last = alone ? first : 6000 / (unsigned)kit_slowdown();

    bhi_alloc_hook = explore_hook;
    for (uint64_t seed = first; seed <= last; seed++) {
        explore(seed);
    }
    world_leave();
    bhi_alloc_hook = NULL;
}
