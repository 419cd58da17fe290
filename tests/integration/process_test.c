/* SPDX-License-Identifier: MIT */
/*
 * What a pool's options make of its workers' processes, asked from inside the process.
 */
#include "probe.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

TEST(the_environment_is_the_dispatchers_with_changes)
{
    static const char *const changes[] = {"BH_PROBE_SET=new", "BH_PROBE_REMOVED", NULL};
    struct bh_pool_options options = probe_options(1);

    setenv("BH_PROBE_KEPT", "kept", 1);
    setenv("BH_PROBE_SET", "old", 1);
    setenv("BH_PROBE_REMOVED", "there", 1);
    options.environment = changes;
    bh_pool *pool = probe_open(&options);
    probe_check_text(pool, "environment", "BH_PROBE_KEPT", "kept");
    probe_check_text(pool, "environment", "BH_PROBE_SET", "new");
    probe_check_text(pool, "environment", "BH_PROBE_REMOVED", NULL);
    bh_pool_close(pool);
}

TEST(a_cleared_environment_has_only_what_is_named)
{
    const char *marker = getenv("BH_TEST_ID");
    char kept[128] = "";
    const char *changes[] = {"BH_PROBE_SET=new", kept, NULL};
    struct bh_pool_options options = probe_options(1);

    snprintf(kept, sizeof(kept), "BH_TEST_ID=%s", marker ? marker : "");
    setenv("BH_PROBE_KEPT", "kept", 1);
    options.environment = changes;
    options.clear_environment = true;
    bh_pool *pool = probe_open(&options);
    probe_check_text(pool, "environment", "BH_PROBE_KEPT", NULL);
    probe_check_text(pool, "environment", "BH_PROBE_SET", "new");
    bh_pool_close(pool);
}

TEST(arguments_reach_init_without_what_the_library_added)
{
    static const char *const arguments[] = {"--one", "two words", "", NULL};
    struct bh_pool_options options = probe_options(1);
    struct bh_result result;

    options.arguments = arguments;
    bh_pool *pool = probe_open(&options);
    probe_call(pool, "arguments", NULL, 0, &result);
    CHECK_INT(result.reply.length, 4);
    CHECK_STR(result.reply.as.items[0].as.string, PROBE_WORKER);
    CHECK_STR(result.reply.as.items[1].as.string, "--one");
    CHECK_STR(result.reply.as.items[2].as.string, "two words");
    CHECK_STR(result.reply.as.items[3].as.string, "");
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(the_working_directory_is_the_one_named)
{
    struct bh_pool_options options = probe_options(1);

    options.directory = "/usr";
    bh_pool *pool = probe_open(&options);
    probe_check_text(pool, "directory", NULL, "/usr");
    bh_pool_close(pool);
}

TEST(niceness_affinity_and_limits_are_set)
{
    static const struct bh_rlimit limits[] = {{RLIMIT_NOFILE, 77, 99}};
    struct bh_pool_options options = probe_options(1);
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

TEST(cores_are_off_unless_allowed)
{
    struct bh_pool_options options = probe_options(1);
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
    struct bh_pool_options options = probe_options(1);

    if (geteuid() != 0)
        SKIP("needs root");
    if (access(BH_TEST_DIR, X_OK) != 0)
        SKIP("nobody could not reach the worker");
    struct stat status;
    char path[4096];
    /* nobody must be able to walk to the program */
    CHECK(realpath(PROBE_WORKER, path) != NULL);
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

/* ---- what cannot be started ---- */

static void check_cannot_start(const struct bh_pool_options *options, const char *what)
{
    bh_pool *pool = probe_open(options);
    struct bh_result result;

    CHECK_INT(bh_pool_invoke(pool, "pid", NULL, 0, &result), BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_CANNOT_START);
    CHECK_INT(result.delivery, BH_DELIVERY_NEVER_STARTED);
    CHECK_CONTAINS(result.text, what);
    CHECK(result.has_death);
    CHECK_INT(result.death.phase, BH_PHASE_START_UP);
    CHECK_INT(result.death.cause, BH_CAUSE_NOT_STARTED);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(a_program_that_is_not_there_is_named)
{
    struct bh_pool_options options = probe_options(1);

    options.worker = "/nowhere/at/all";
    check_cannot_start(&options, "/nowhere/at/all: No such file or directory");
}

TEST(a_directory_that_is_not_there_is_named)
{
    struct bh_pool_options options = probe_options(1);

    options.directory = "/nowhere/at/all";
    check_cannot_start(&options, "/nowhere/at/all");
}

TEST(a_program_that_is_no_worker_is_a_crash_loop_with_its_exit)
{
    struct bh_pool_options options = probe_options(1);
    struct bh_result result;

    options.worker = "true";
    options.backoff_initial_ms = options.backoff_max_ms = 1;
    bh_pool *pool = probe_open(&options);
    CHECK_INT(bh_pool_invoke(pool, "pid", NULL, 0, &result), BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_CRASH_LOOP);
    CHECK_INT(result.death.phase, BH_PHASE_START_UP);
    CHECK_INT(result.death.cause, BH_CAUSE_EXIT);
    CHECK_INT(result.death.exit_code, 0);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(a_worker_that_never_becomes_ready_is_killed_for_it)
{
    static const char *const arguments[] = {"--never-ready", NULL};
    struct bh_pool_options options = probe_options(1);
    struct bh_result result;

    options.arguments = arguments;
    options.start_timeout_ms = 50;
    options.crash_loop_limit = 2;
    options.backoff_initial_ms = options.backoff_max_ms = 1;
    bh_pool *pool = probe_open(&options);
    CHECK_INT(bh_pool_invoke(pool, "pid", NULL, 0, &result), BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_CRASH_LOOP);
    CHECK_INT(result.death.phase, BH_PHASE_START_UP);
    CHECK_INT(result.death.cause, BH_CAUSE_DEADLINE);
    CHECK_CONTAINS(result.death.detail, "not ready within 50 ms");
    bh_result_deinit(&result);
    bh_pool_close(pool);
}
