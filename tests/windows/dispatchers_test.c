/* SPDX-License-Identifier: MIT */
/* timeout: 120 */
/*
 * Several dispatchers of one user at once: they share the Running Object Table, and no workers.
 */
#include "create_process.h"
#include "rig.h"

#define DISPATCHERS 3
#define REQUESTS 40

/* One dispatcher: what it sends comes back, and the deaths are those that it asked for. */
static void dispatch(void)
{
    struct bh_pool_options options = rig_options(2);
    bh_pool *pool = rig_open_ready(&options);
    struct bh_snapshot snapshot;

    for (int i = 0; i < REQUESTS; i++) {
        bh_value mark = bh_value_int64((int64_t)GetCurrentProcessId() << 16 | i);
        struct bh_result result;

        bh_pool_invoke(pool, "echo", &mark, 1, &result);
        rig_expect(&result, BH_OUTCOME_REPLIED);
        CHECK(bh_value_equal(&result.reply, &mark));
        bh_result_deinit(&result);
        if (i % 10 != 5)
            continue;
        rig_call_text(pool, "mishap", "violation", &result);
        rig_expect(&result, BH_OUTCOME_DIED);
        bh_result_deinit(&result);
    }
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.death[BH_PHASE_REQUEST][BH_CAUSE_FAULT], REQUESTS / 10);
    CHECK_INT(snapshot.requeued, 0);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(pool);
}

TEST_TIMEOUT(one_alone, 60)
{
    dispatch();
}

static HANDLE start_another(void)
{
    STARTUPINFOA startup = {.cb = sizeof(startup)};
    PROCESS_INFORMATION made;
    char path[1024], command[1100];

    rig_path(path, sizeof(path), "dispatchers_test");
    snprintf(command, sizeof(command), "\"%s\" --in-process one_alone", path);
    CHECK(kit_create_process(path, command, FALSE, 0, &startup, &made));
    CloseHandle(made.hThread);
    return made.hProcess;
}

TEST_TIMEOUT(several_at_once_do_not_mix_their_workers_up, 60)
{
    HANDLE others[DISPATCHERS];

    for (int i = 0; i < DISPATCHERS; i++)
        others[i] = start_another();
    dispatch();
    for (int i = 0; i < DISPATCHERS; i++) {
        DWORD code = 99;
        CHECK_INT(WaitForSingleObject(others[i], 50000), WAIT_OBJECT_0);
        GetExitCodeProcess(others[i], &code);
        CHECK_INT(code, 0);
        CloseHandle(others[i]);
    }
}
