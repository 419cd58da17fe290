/* SPDX-License-Identifier: MIT */
/* timeout: 60 */
/*
 * What a pool's options make of its workers' processes on Windows alone; what every system does is
 * in tests/integration/process_test.c.
 */
#include "handles.h"
#include "rig.h"

static void check_text(bh_pool *pool, const char *method, const char *argument,
                       const char *expected)
{
    struct bh_result result;

    rig_call_text(pool, method, argument, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    if (expected == NULL)
        CHECK_INT(result.reply.type, BH_NULL);
    else
        CHECK_STR(result.reply.as.string, expected);
    bh_result_deinit(&result);
}

static int64_t fact(bh_pool *pool, const char *name)
{
    struct bh_result result;
    int64_t number = -1;
    bool truth;

    bh_pool_invoke(pool, "facts", NULL, 0, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    const bh_value *value = bh_map_get(&result.reply, name);
    if (bh_value_get_int64(value, &number) != BH_OK && bh_value_get_bool(value, &truth) == BH_OK)
        number = truth;
    bh_result_deinit(&result);
    return number;
}

TEST(names_of_variables_have_no_case_and_the_last_of_two_counts)
{
    static const char *const changes[] = {"bh_probe_removed",      "BH_PROBE_TWICE=first",
                                          "BH_PROBE_TWICE=second", "AAA_first=1",
                                          "zzz_last=t\xc3\xbcr",   NULL};
    struct bh_pool_options options = rig_options(1);

    SetEnvironmentVariableA("BH_PROBE_REMOVED", "there");
    options.environment = changes;
    bh_pool *pool = rig_open_ready(&options);
    check_text(pool, "environment", "BH_PROBE_REMOVED", NULL);
    check_text(pool, "environment", "BH_PROBE_TWICE", "second");
    check_text(pool, "environment", "AAA_FIRST", "1");
    bh_pool_close(pool);
}

TEST(a_relative_path_is_relative_to_the_directory_of_the_opening)
{
    struct bh_pool_options options = rig_options(1);
    char before[MAX_PATH];

    GetCurrentDirectoryA(sizeof(before), before);
    CHECK(SetCurrentDirectoryA(BH_TEST_DIR));
    options.worker = "./mishap_worker"; /* .exe may be left out */
    options.min_workers = 0;
    bh_pool *pool = rig_open(&options);
    CHECK(SetCurrentDirectoryA("C:\\windows"));
    rig_check_echo(pool);
    bh_pool_close(pool);
    SetCurrentDirectoryA(before);
}

TEST(priority_and_processors_are_set)
{
    struct bh_pool_options options = rig_options(1);

    options.nice = 5;
    options.affinity = "0";
    bh_pool *pool = rig_open_ready(&options);
    CHECK_INT(fact(pool, "affinity"), 1);
    CHECK_INT(fact(pool, "priority"), BELOW_NORMAL_PRIORITY_CLASS);
    CHECK_INT(fact(pool, "in_job"), 1);
    bh_pool_close(pool);
}

static void check_unsupported(const struct bh_pool_options *options, int code, const char *what)
{
    struct bh_problem problem = {0};
    bh_pool *pool = NULL;

    CHECK_INT(bh_pool_open(&pool, options, &problem), code);
    CHECK_CONTAINS(problem.text, what);
    CHECK(pool == NULL);
}

TEST(what_windows_cannot_do_is_refused)
{
    static const struct bh_rlimit limit = {1, 2, 3};
    struct bh_pool_options options = rig_options(1);

    options.user = "nobody";
    check_unsupported(&options, BH_E_UNSUPPORTED, "user");
    options = rig_options(1);
    options.rlimits = &limit;
    options.rlimit_count = 1;
    check_unsupported(&options, BH_E_UNSUPPORTED, "rlimits");
    options = rig_options(1);
    options.launcher = "x";
    check_unsupported(&options, BH_E_UNSUPPORTED, "launcher");
    options = rig_options(1);
    options.worker = "C:\\some\\thing.bat";
    check_unsupported(&options, BH_E_UNSUPPORTED, "batch");
    options = rig_options(1);
    options.affinity = "0-";
    check_unsupported(&options, BH_E_INVALID, "list of processors");
    options.affinity = "63";
    check_unsupported(&options, BH_E_INVALID, "not there");
    options = rig_options(1);
    options.worker = "no-such-program-anywhere";
    check_unsupported(&options, BH_E_SYSTEM, "no program");
}

TEST(what_a_dead_worker_had_started_ends_with_it)
{
    struct bh_pool_options options = rig_options(1);
    struct bh_result result;
    int64_t pid = 0;

    bh_pool *pool = rig_open_ready(&options);
    bh_pool_invoke(pool, "spawn", NULL, 0, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    CHECK_INT(bh_value_get_int64(&result.reply, &pid), BH_OK);
    bh_result_deinit(&result);
    HANDLE child = OpenProcess(SYNCHRONIZE, FALSE, (DWORD)pid);
    CHECK(child != NULL);
    CHECK_INT(WaitForSingleObject(child, 0), WAIT_TIMEOUT);
    rig_call_text(pool, "mishap", "violation", &result);
    rig_expect(&result, BH_OUTCOME_DIED);
    bh_result_deinit(&result);
    CHECK_INT(WaitForSingleObject(child, 10000), WAIT_OBJECT_0);
    CloseHandle(child);
    bh_pool_close(pool);
}

/* Opens, uses and closes pools. @return the handles that each further round leaves behind */
static int handles_per_round(const struct bh_pool_options *options)
{
    const int warm = 3, rounds = 4;
    unsigned before = 0;

    for (int i = 0; i < warm + rounds; i++) {
        struct bh_result result;
        if (i == warm)
            before = rig_own_handles();
        bh_pool *pool = rig_open(options);
        bh_pool_invoke(pool, "echo", NULL, 0, &result);
        bh_result_deinit(&result);
        bh_pool_close(pool);
    }
    return ((int)rig_own_handles() - (int)before) / rounds;
}

TEST(no_handle_is_left_behind_by_start_ups_that_fail)
{
    static const char *const arguments[] = {"--at-start=exit", NULL};
    struct bh_pool_options options = rig_options(2);

    options.arguments = arguments;
    options.crash_loop_limit = 3;
    options.backoff_initial_ms = 1;
    CHECK_INT(handles_per_round(&options), 0);
}

/* Wine's RPC runtime keeps two or three for each server that ends before its last proxy. */
TEST(no_handle_is_left_behind_by_workers)
{
    struct bh_pool_options options = rig_options(2);
    int each = handles_per_round(&options);

    printf("# %d handles per round\n", each);
    CHECK(each <= 3 * 2);
}
