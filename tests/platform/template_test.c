/* SPDX-License-Identifier: MIT */
/*
 * A template says to its launcher whatever it likes: it is given up, whoever was to be forked is
 * started plainly, and nobody else notices.
 *
 * timeout: 120
 */
#include "check.h"

#include <bulkhead/bulkhead.h>

#include <stdatomic.h>
#include <string.h>

struct watch {
    _Atomic int ready, lost, died, launcher;
};

static void on_event(void *context, const struct bh_event *event)
{
    struct watch *watch = context;

    if (event->type == BH_EVENT_TEMPLATE)
        atomic_fetch_add(event->text == NULL ? &watch->ready : &watch->lost, 1);
    if (event->type == BH_EVENT_DIED)
        atomic_fetch_add(&watch->died, 1);
    if (event->type == BH_EVENT_LAUNCHER)
        atomic_fetch_add(&watch->launcher, 1);
}

static bool is_lost(void *context)
{
    return atomic_load(&((struct watch *)context)->lost) > 0;
}

static bool is_ready(void *context)
{
    return atomic_load(&((struct watch *)context)->ready) > 0;
}

static bh_pool *open_pool(const char *how, struct watch *watch)
{
    const char *const arguments[] = {how, NULL};
    struct bh_pool_options options;
    struct bh_problem problem;
    bh_pool *pool;

    bh_pool_options_init(&options);
    options.worker = BH_TEST_DIR "/template_worker";
    options.arguments = arguments;
    options.min_workers = options.max_workers = 2;
    options.templates = 1;
    options.start_timeout_ms = 10000u * (unsigned)kit_slowdown();
    options.on_event = on_event;
    options.event_context = watch;
    if (bh_pool_open(&pool, &options, &problem))
        FAIL("%s", problem.text);
    return pool;
}

static void call(bh_pool *pool, int64_t number, enum bh_outcome expected)
{
    bh_value argument = bh_value_int64(number);
    struct bh_result result;

    enum bh_outcome outcome = bh_pool_invoke(pool, "add", &argument, 1, &result);
    if (outcome != expected)
        FAIL("%s: %s", bh_outcome_name(outcome), result.text ? result.text : "");
    bh_result_deinit(&result);
}

static void check_unharmed(bh_pool *pool, struct watch *watch, int deaths)
{
    struct bh_snapshot snapshot;

    call(pool, 1, BH_OUTCOME_REPLIED);
    call(pool, 2, BH_OUTCOME_REPLIED);
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.template_starts, 0);
    CHECK_INT(snapshot.failed_starts, 0);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(pool);
    CHECK_INT(atomic_load(&watch->launcher), 0);
    CHECK_INT(atomic_load(&watch->died), deaths);
}

TEST_TIMEOUT(one_that_begins_with_nonsense_is_given_up, 60)
{
    static const char *const hows[] = {"garbage", "short", "long",    "descriptors",
                                       "closes",  "early", "unasked", "failed",
                                       "type",    "twice", "flood"};

    for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
        struct watch watch = {0};
        bh_pool *pool = open_pool(hows[i], &watch);
        if (!kit_wait_until(is_lost, &watch, 10000))
            FAIL("%s: the template is not given up", hows[i]);
        check_unharmed(pool, &watch, 0);
    }
}

TEST_TIMEOUT(one_that_names_a_wrong_worker_is_given_up, 60)
{
    static const char *const hows[] = {"itself",  "launcher", "init",   "nobody", "group", "large",
                                       "sibling", "child",    "orphan", "other",  "dies"};

    for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
        struct watch watch = {0};
        bh_pool *pool = open_pool(hows[i], &watch);
        CHECK(kit_wait_until(is_ready, &watch, 10000));
        call(pool, -1, BH_OUTCOME_DIED);
        if (!kit_wait_until(is_lost, &watch, 10000))
            FAIL("%s: the template is not given up", hows[i]);
        check_unharmed(pool, &watch, 1);
    }
}

/* It may go on: the next fork may work. */
TEST(one_that_cannot_fork_costs_nothing)
{
    struct watch watch = {0};
    bh_pool *pool = open_pool("fails", &watch);

    CHECK(kit_wait_until(is_ready, &watch, 10000));
    call(pool, -1, BH_OUTCOME_DIED);
    call(pool, -1, BH_OUTCOME_DIED);
    check_unharmed(pool, &watch, 2);
    CHECK_INT(watch.lost, 0);
}
