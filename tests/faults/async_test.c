/* SPDX-License-Identifier: MIT */
/*
 * A hundred thousand requests outstanding from one thread while workers crash: one completion each,
 * the right one, in bounded memory. All of it twice: each request given to a worker when its turn
 * has come, and marked small, so that they wait in slots of the workers that crash.
 *
 * timeout: 200
 */
#include "crowd.h"

#include <stdio.h>

#define WORKERS 4
#define BYTES_PER_REQUEST 1500 /* that waits, its completion included */

struct flight {
    int64_t n;
    bool crashes;
    unsigned completions;
};

static struct flight *flights;
static int64_t requests;
static _Atomic int64_t replied;
static _Atomic int64_t died;

static void check(struct flight *flight, struct bh_result *result)
{
    int64_t reply = 0;

    CHECK_INT(++flight->completions, 1);
    if (result->outcome == BH_OUTCOME_REPLIED) {
        CHECK_INT(bh_value_get_int64(&result->reply, &reply), BH_OK);
        CHECK_INT(reply, 3 * flight->n + 1);
        replied++;
    } else if (result->outcome == BH_OUTCOME_DIED) {
        CHECK(result->has_death);
        CHECK_INT(result->death.cause, BH_CAUSE_FAULT);
        CHECK_INT(result->death.serial, result->serial);
        died++;
    } else {
        FAIL("request %lld ended as %s: %s", (long long)flight->n, bh_outcome_name(result->outcome),
             result->text ? result->text : "");
    }
    CHECK_INT(result->outcome == BH_OUTCOME_DIED, flight->crashes);
    bh_result_deinit(result);
}

static void on_done(void *context, struct bh_result *result)
{
    check(context, result);
}

static void submit_all(bh_pool *pool, bh_done_fn done, bool small)
{
    flights = calloc((size_t)requests, sizeof(*flights));
    for (int64_t n = 0; n < requests; n++) {
        struct flight *flight = &flights[n];
        const bool crashes = n % 100 == 13;
        const bh_value arguments[] = {bh_value_int64(n),
                                      bh_value_view(crashes ? "crash" : "reply")};
        struct bh_request request = BH_REQUEST_INIT;
        *flight = (struct flight){.n = n, .crashes = crashes};
        request.method = "answer";
        request.arguments = arguments;
        request.argument_count = 2;
        request.small = small;
        CHECK_INT(bh_pool_submit(pool, &request, done, flight), BH_REFUSAL_NONE);
    }
}

/* As an event loop does it. */
static void take_all(bh_pool *pool)
{
    intptr_t waitable = bh_pool_waitable(pool);

    while (replied + died < requests) {
        struct bh_completion completions[64];
        CHECK(kit_is_ready(waitable, 60000));
        size_t count = bh_pool_take(pool, completions, 64, 0);
        CHECK(count > 0);
        for (size_t i = 0; i < count; i++)
            check(completions[i].context, &completions[i].result);
    }
    CHECK(!kit_is_ready(waitable, 0));
}

static bh_pool *open_pool(bool small)
{
    struct bh_pool_options options = crowd_options(WORKERS);

    requests = KIT_WINDOWS ? (small ? 500 : 3000) : kit_slowdown() > 1 ? 10000 : 100000;
    replied = died = 0;
    options.queue_length = (uint32_t)requests;
    return crowd_open(&options);
}

static void close_pool(bh_pool *pool)
{
    struct bh_snapshot snapshot;

    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    crowd_check_sums(&snapshot);
    CHECK_INT(snapshot.submitted, requests);
    CHECK_INT(snapshot.outcome[BH_OUTCOME_DIED], requests / 100);
    CHECK_INT(died, requests / 100);
    CHECK_INT(replied + died, requests);
    CHECK_INT(crowd_deaths(&snapshot, BH_PHASE_REQUEST), requests / 100);
    CHECK_INT(crowd_deaths(&snapshot, BH_PHASE_IDLE), 0);
    CHECK_INT(snapshot.retried, 0);
    printf("# %llu went back because they never started\n", (unsigned long long)snapshot.requeued);
    for (int64_t n = 0; n < requests; n++)
        CHECK_INT(flights[n].completions, 1);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(pool);
    free(flights);
}

static void take_a_hundred_thousand(bool small)
{
    bh_pool *pool = open_pool(small);
    uint64_t before = kit_peak_kib();

    submit_all(pool, NULL, small);
    take_all(pool);
    uint64_t used = kit_peak_kib() - before;
    printf("# %lld requests outstanding: %llu KiB\n", (long long)requests,
           (unsigned long long)used);
    if (kit_slowdown() == 1)
        CHECK(used < (uint64_t)requests * BYTES_PER_REQUEST / 1024);
    close_pool(pool);
}

TEST_TIMEOUT(an_event_loop_takes_a_hundred_thousand, 180)
{
    take_a_hundred_thousand(false);
}

TEST_TIMEOUT(an_event_loop_takes_a_hundred_thousand_out_of_slots, 180)
{
    take_a_hundred_thousand(true);
}

static bool all_told(void *nothing)
{
    (void)nothing;
    return replied + died == requests;
}

static void tell_a_hundred_thousand(bool small)
{
    bh_pool *pool = open_pool(small);

    submit_all(pool, on_done, small);
    CHECK_INT(bh_pool_take(pool, NULL, 0, BH_WAIT_FOREVER), 0); /* until nothing is outstanding */
    CHECK(kit_wait_until(all_told, NULL, 10000));               /* the last callbacks still run */
    close_pool(pool);
}

TEST_TIMEOUT(callbacks_are_told_of_a_hundred_thousand, 180)
{
    tell_a_hundred_thousand(false);
}

TEST_TIMEOUT(callbacks_are_told_of_a_hundred_thousand_out_of_slots, 180)
{
    tell_a_hundred_thousand(true);
}
