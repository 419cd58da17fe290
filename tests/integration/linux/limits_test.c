/* SPDX-License-Identifier: MIT */
/*
 * What a pool's options make of its workers' rights and limits on Linux, asked from inside the
 * process.
 */
#include "probe.h"

#include <bulkhead/session.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMITS_WORKER BH_TEST_DIR "/limits_worker"

static struct bh_pool_options limits_options(void)
{
    struct bh_pool_options options = probe_options(1);

    options.worker = LIMITS_WORKER;
    return options;
}

TEST(niceness_affinity_and_limits_are_set)
{
    static const struct bh_rlimit limits[] = {{RLIMIT_NOFILE, 77, 99}};
    struct bh_pool_options options = limits_options();
    bh_value resource = bh_value_int64(RLIMIT_NOFILE);
    struct bh_result result;
    cpu_set_t set;
    char cpu[16];
    int first = 0;

    CHECK_INT(sched_getaffinity(0, sizeof(set), &set), 0);
    while (!CPU_ISSET(first, &set))
        first++;
    snprintf(cpu, sizeof(cpu), "%d", first);
    options.affinity = cpu;
    options.nice = 3;
    options.rlimits = limits;
    options.rlimit_count = 1;
    bh_pool *pool = probe_open(&options);
    CHECK_INT(probe_number(pool, "processors"), 1);
    CHECK_INT(probe_number(pool, "nice"), getpriority(PRIO_PROCESS, 0) + 3);
    probe_call(pool, "limit", &resource, 1, &result);
    CHECK_INT(result.reply.as.items[0].as.int64, 77);
    CHECK_INT(result.reply.as.items[1].as.int64, 99);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

/* SIGXFSZ would end this process. */
TEST(a_host_that_may_not_make_large_files_lives)
{
    struct rlimit before, small = {1 << 20, 0};
    const size_t bytes = 2 << 20;
    void *data = calloc(1, bytes);
    bh_value argument = bh_value_view_bytes(data, bytes);
    struct bh_result result;
    void *at;

    CHECK_INT(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct bh_pool_options options = mishaps_options(1);
    bh_pool *pool = probe_open(&options);
    small.rlim_max = before.rlim_max;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &small), 0);
    CHECK_INT(bh_pool_invoke(pool, "echo", &argument, 1, &result), BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_MEMORY);
    CHECK_CONTAINS(result.text, "File too large");
    bh_result_deinit(&result);
    struct bh_session_options alone = BH_SESSION_INIT;
    bh_session *session;
    alone.take_last = true;
    CHECK_INT(bh_session_open(&session, pool, &alone, NULL), BH_OK);
    CHECK_INT(bh_session_buffer(session, bytes, &at), BH_E_MEMORY);
    bh_session_close(session);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &before), 0);
    bh_pool_close(pool);
    free(data);
}

TEST(cores_are_off_unless_allowed)
{
    struct bh_pool_options options = limits_options();
    bh_value resource = bh_value_int64(RLIMIT_CORE);
    struct bh_result result;

    bh_pool *pool = probe_open(&options);
    probe_call(pool, "limit", &resource, 1, &result);
    CHECK(result.reply.as.items[0].as.int64 <= 1);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(workers_can_run_as_somebody_else)
{
    struct bh_pool_options options = limits_options();

    if (geteuid() != 0)
        SKIP("needs root");
    if (access(BH_TEST_DIR, X_OK) != 0)
        SKIP("nobody could not reach the worker");
    struct stat status;
    char path[4096];
    /* nobody must be able to walk to the program */
    CHECK(realpath(LIMITS_WORKER, path) != NULL);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        CHECK_INT(stat(path, &status), 0);
        if (!(status.st_mode & 1))
            SKIP("nobody cannot enter %s", path);
        *slash = '/';
    }
    options.user = "nobody";
    bh_pool *pool = probe_open(&options);
    CHECK_INT(probe_number(pool, "user"), 65534);
    bh_pool_close(pool);
}
