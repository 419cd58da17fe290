/* SPDX-License-Identifier: MIT */
/*
 * What the core makes of templates, on the fake platform: it counts, it tells, and it says when
 * what is prepared is of no use any more.
 */
#include "world.h"

#include "core/pool_internal.h"

static void fork_even_ones(uint64_t nth, struct bhf_start *plan)
{
    plan->forked = nth % 2 == 0;
}

TEST(workers_forked_from_a_template_are_counted)
{
    struct bh_pool_options options = world_options();
    struct bh_snapshot snapshot;
    bh_pool *pool;

    world_begin(0);
    world.on_start = fork_even_ones;
    options.min_workers = options.max_workers = 5;
    pool = world_open(&options);
    CHECK_INT(bh_pool_wait_ready(pool, 5, 1000, NULL), BH_OK);
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.starts, 5);
    CHECK_INT(snapshot.template_starts, 2);
    bh_snapshot_deinit(&snapshot);
    world_close(pool);
    world_end();
}

TEST(what_happens_to_a_template_is_told_and_changes_nothing)
{
    static const struct bhp_template_news ready = {.ready = true, .pid = 17};
    static const struct bhp_template_news lost = {.pid = 17, .text = "exit 3"};
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    options.crash_loop_limit = 1;
    pool = world_open(&options);
    CHECK_INT(bh_pool_wait_ready(pool, 0, 1000, NULL), BH_OK);
    world.log[0] = '\0';
    bhf_tell_template(&ready);
    world_sleep(1);
    CHECK_STR(world.log, "template() ");
    bhf_tell_template(&lost);
    world_sleep(1);
    CHECK_STR(world.log, "template() template(exit 3) ");
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(pool->failed_starts, 0);
    CHECK_INT(pool->breaker_open, false);
    world_close(pool);
    world_end();
}

/* Before the first start of a generation, and only then. */
TEST(a_new_generation_is_told_before_its_first_start)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    options.min_workers = options.max_workers = 2;
    pool = world_open(&options);
    CHECK_INT(bh_pool_wait_ready(pool, 2, 1000, NULL), BH_OK);
    CHECK_INT(world_ask(pool, "die 1")->outcome, BH_OUTCOME_DIED);
    CHECK_INT(bh_pool_wait_ready(pool, 2, 1000, NULL), BH_OK);
    CHECK_INT(bhf_renewals(), 0);
    for (unsigned i = 1; i <= 3; i++) {
        CHECK_INT(bh_pool_replace(pool), BH_OK);
        world_sleep(50);
        CHECK(!pool->replacing);
        CHECK_INT(bhf_renewals(), i);
        CHECK_INT(pool->nursery_generation, i);
    }
    world_close(pool);
    world_end();
}
