/* SPDX-License-Identifier: MIT */
/*
 * The launcher is killed: its workers are gone within a second, their requests end as "launcher
 * lost", and the pool serves again.
 *
 * timeout: 120
 */
#include "crowd.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define WORKERS 4

/* The launcher among our descendants, by its command line; 0 if there is none. */
static int find_launcher(void)
{
    int pids[64];
    size_t count = kit_descendants(pids, 64);

    for (size_t i = 0; i < count && i < 64; i++) {
        char path[64], line[64] = "";
        snprintf(path, sizeof(path), "/proc/%d/cmdline", pids[i]);
        FILE *file = fopen(path, "re");
        if (!file)
            continue;
        if (!fgets(line, sizeof(line), file))
            line[0] = '\0';
        fclose(file);
        if (strncmp(line, "bulkhead-launcher", 17) == 0)
            return pids[i];
    }
    return 0;
}

/* A template shows cookie 0, or still what the launcher shows that is about to start it; it ends
 * with its launcher. */
static bool is_template(int pid)
{
    char path[64], text[4096] = "";

    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file)
        fclose(file);
    return memmem(text, length, ",00000000000000000000,", 22) != NULL || length == 0 ||
           strcmp(text, "bulkhead-launcher") == 0;
}

/* Our descendants, but for a template. */
static size_t count_descendants(void)
{
    int pids[64];
    size_t count = kit_descendants(pids, 64), templates = 0;

    for (size_t i = 0; i < count && i < 64; i++)
        templates += is_template(pids[i]);
    return count - templates; /* and but for the launcher */
}

struct hanging {
    bh_pool *pool;
    struct bh_result result;
    enum bh_outcome outcome;
    int pid; /* of the worker, when it is known to be inside */
};

static void *call_hang(void *context)
{
    struct hanging *hanging = context;

    hanging->outcome = bh_pool_invoke(hanging->pool, "hang", NULL, 0, &hanging->result);
    return NULL;
}

static bool all_hang(void *context)
{
    struct bh_snapshot snapshot;
    bool all;

    CHECK_INT(bh_pool_snapshot(context, &snapshot), BH_OK);
    all = snapshot.worker_state[BH_WORKER_BUSY] == WORKERS;
    bh_snapshot_deinit(&snapshot);
    /* two processes for each worker */
    return all && count_descendants() >= 2 * WORKERS;
}

static void worker_pids(bh_pool *pool, int pids[WORKERS])
{
    struct bh_snapshot snapshot;

    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.worker_count, WORKERS);
    for (size_t i = 0; i < WORKERS; i++)
        pids[i] = (int)snapshot.workers[i].pid;
    bh_snapshot_deinit(&snapshot);
}

static void check_lost(struct hanging *hanging)
{
    CHECK_INT(hanging->outcome, BH_OUTCOME_DIED);
    CHECK_INT(hanging->result.delivery, BH_DELIVERY_STARTED);
    CHECK_INT(hanging->result.death.cause, BH_CAUSE_LAUNCHER_LOST);
    CHECK_INT(hanging->result.death.phase, BH_PHASE_REQUEST);
    CHECK_INT(hanging->result.death.serial, hanging->result.serial);
    bh_result_deinit(&hanging->result);
}

static bool is_among(const int *pids, size_t count, int pid)
{
    for (size_t i = 0; i < count; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

/* Everything below us but the launcher, these workers and a template: their grandchildren, which a
 * lost launcher cannot end. They are the test's to end. */
static size_t find_grandchildren(int launcher, const int workers[WORKERS], int *found, size_t most)
{
    int pids[64];
    size_t count = kit_descendants(pids, 64), kept = 0;

    for (size_t i = 0; i < count && i < 64 && kept < most; i++)
        if (pids[i] != launcher && !is_among(workers, WORKERS, pids[i]) && !is_template(pids[i]))
            found[kept++] = pids[i];
    return kept;
}

static void lose_launcher(bh_pool *pool)
{
    struct hanging hanging[WORKERS] = {0};
    pthread_t threads[WORKERS];
    int pids[WORKERS], grandchildren[WORKERS];

    for (int i = 0; i < WORKERS; i++) {
        hanging[i].pool = pool;
        CHECK_INT(pthread_create(&threads[i], NULL, call_hang, &hanging[i]), 0);
    }
    CHECK(kit_wait_until(all_hang, pool, 10000));
    worker_pids(pool, pids);
    int launcher = find_launcher();
    CHECK(launcher > 0);
    CHECK_INT(find_grandchildren(launcher, pids, grandchildren, WORKERS), WORKERS);
    CHECK_INT(kill(launcher, SIGKILL), 0);
    for (int i = 0; i < WORKERS; i++)
        CHECK(kit_pid_gone(pids[i], 1000));
    for (int i = 0; i < WORKERS; i++)
        kill(grandchildren[i], SIGKILL); /* nobody's, or dead with the group */
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        check_lost(&hanging[i]);
    }
}

static void check_serves(bh_pool *pool)
{
    struct bh_result result;
    enum bh_outcome outcome = crowd_call(pool, 7, "reply", &result);

    if (outcome != BH_OUTCOME_REPLIED)
        FAIL("%s: %s", bh_outcome_name(outcome), result.text ? result.text : "");
    bh_result_deinit(&result);
}

TEST_TIMEOUT(requests_of_a_killed_launcher_are_told_and_the_pool_serves_again, 60)
{
    struct bh_pool_options options = crowd_options(WORKERS);
    bh_pool *pool = crowd_open(&options);

    for (int i = 0; i < 3; i++) {
        lose_launcher(pool);
        check_serves(pool);
    }
    bh_pool_close(pool);
}

struct load {
    bh_pool *pool;
    _Atomic bool done;
    _Atomic int64_t lost;
    _Atomic int64_t replied;
};

static void *call_until_done(void *context)
{
    struct load *load = context;

    for (int64_t n = 0; !atomic_load(&load->done); n++) {
        struct bh_result result;
        enum bh_outcome outcome = crowd_call(load->pool, n, "reply", &result);
        if (outcome == BH_OUTCOME_DIED) {
            CHECK_INT(result.death.cause, BH_CAUSE_LAUNCHER_LOST);
            atomic_fetch_add(&load->lost, 1);
        } else if (outcome == BH_OUTCOME_REPLIED) {
            atomic_fetch_add(&load->replied, 1);
        } else {
            FAIL("%s: %s", bh_outcome_name(outcome), result.text ? result.text : "");
        }
        bh_result_deinit(&result);
    }
    return NULL;
}

struct replies {
    struct load *load;
    int64_t wanted;
};

static bool has_replied(void *context)
{
    struct replies *replies = context;

    return atomic_load(&replies->load->replied) >= replies->wanted;
}

TEST_TIMEOUT(a_launcher_killed_under_load_loses_only_what_had_started, 60)
{
    struct bh_pool_options options = crowd_options(WORKERS);
    struct bh_snapshot snapshot;
    struct load load = {0};
    pthread_t callers[8];

    load.pool = crowd_open(&options);
    for (int i = 0; i < 8; i++)
        CHECK_INT(pthread_create(&callers[i], NULL, call_until_done, &load), 0);
    for (int i = 0; i < 10; i++) {
        struct replies replies = {&load, atomic_load(&load.replied) + 200};
        CHECK(kit_wait_until(has_replied, &replies, 10000));
        int launcher = find_launcher();
        CHECK(launcher > 0);
        CHECK_INT(kill(launcher, SIGKILL), 0);
        CHECK(kit_pid_gone(launcher, 1000));
    }
    struct replies replies = {&load, atomic_load(&load.replied) + 200};
    CHECK(kit_wait_until(has_replied, &replies, 10000));
    atomic_store(&load.done, true);
    for (int i = 0; i < 8; i++)
        pthread_join(callers[i], NULL);
    CHECK_INT(bh_pool_snapshot(load.pool, &snapshot), BH_OK);
    crowd_check_sums(&snapshot);
    CHECK_INT(snapshot.outcome[BH_OUTCOME_DIED], load.lost);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(load.pool);
}
