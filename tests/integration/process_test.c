/* SPDX-License-Identifier: MIT */
/*
 * What a pool's options make of its workers' processes, asked from inside the process.
 */
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>

TEST(the_environment_is_the_dispatchers_with_changes)
{
    static const char *const changes[] = {"BH_PROBE_SET=new", "BH_PROBE_REMOVED", NULL};
    struct bh_pool_options options = probe_options(1);

    kit_set_environment("BH_PROBE_KEPT", "kept");
    kit_set_environment("BH_PROBE_SET", "old");
    kit_set_environment("BH_PROBE_REMOVED", "there");
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
    kit_set_environment("BH_PROBE_KEPT", "kept");
    options.environment = changes;
    options.clear_environment = true;
    bh_pool *pool = probe_open(&options);
    probe_check_text(pool, "environment", "BH_PROBE_KEPT", NULL);
    probe_check_text(pool, "environment", "BH_PROBE_SET", "new");
    bh_pool_close(pool);
}

TEST(arguments_reach_init_as_they_are_and_without_what_the_library_added)
{
    static const char *const arguments[] = {"--one",     "two words", "",        "a\"b",  "c\\",
                                            "d\\\\ e\\", "f\\\"g",    "h\\\\\"", "\ti\n", "j'k",
                                            "%PATH%",    "^&|<>",     "$HOME",   NULL};
    struct bh_pool_options options = probe_options(1);
    struct bh_result result;

    options.arguments = arguments;
    bh_pool *pool = probe_open(&options);
    probe_call(pool, "arguments", NULL, 0, &result);
    CHECK_STR(result.reply.as.items[0].as.string, PROBE_WORKER);
    for (size_t i = 0; arguments[i]; i++)
        CHECK_STR(result.reply.as.items[i + 1].as.string, arguments[i]);
    CHECK_INT(result.reply.length, sizeof(arguments) / sizeof(arguments[0]));
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(the_working_directory_is_the_one_named)
{
    struct bh_pool_options options = probe_options(1);

    options.directory = kit_temp_dir();
    bh_pool *pool = probe_open(&options);
    probe_check_text(pool, "directory", NULL, kit_temp_dir());
    bh_pool_close(pool);
}

TEST(a_bare_name_is_looked_up_in_path)
{
    struct bh_pool_options options = probe_options(1);

    kit_set_environment("PATH", BH_TEST_DIR);
    options.worker = "probe_worker";
    bh_pool *pool = probe_open(&options);
    CHECK(probe_number(pool, "pid") > 0);
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
    CHECK(result.death.os_error != 0);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(a_program_that_is_not_there_is_named)
{
    struct bh_pool_options options = probe_options(1);

    options.worker = "/nowhere/at/all";
    check_cannot_start(&options, "all: ");
}

TEST(a_directory_that_is_not_there_is_named)
{
    struct bh_pool_options options = probe_options(1);

    options.directory = "/nowhere/at/all";
    check_cannot_start(&options, "all: ");
}

TEST(a_program_that_is_no_worker_is_a_crash_loop_with_its_exit)
{
    static const char *const arguments[] = {"--no-such-option", NULL};
    struct bh_pool_options options = probe_options(1);
    struct bh_result result;

    options.worker = BH_TEST_DIR "/process_test"; /* ourselves */
    options.arguments = arguments;
    options.backoff_initial_ms = options.backoff_max_ms = 1;
    bh_pool *pool = probe_open(&options);
    CHECK_INT(bh_pool_invoke(pool, "pid", NULL, 0, &result), BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_CRASH_LOOP);
    CHECK_INT(result.death.phase, BH_PHASE_START_UP);
    CHECK_INT(result.death.cause, BH_CAUSE_EXIT);
    CHECK_INT(result.death.exit_code, 2);
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
