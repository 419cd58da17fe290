/* SPDX-License-Identifier: MIT */
/*
 * Many callers and workers that die at random: every request has one outcome, the right one, and
 * all accounts add up.
 *
 * Model: what a request is told to do is a hash of its number, so that it is known what must come
 * of it. Start-ups fail by chance. Callers, pool and events count for themselves; at the end they
 * are compared.
 */
#include "selftest.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define CALLERS 8
#define WORKERS 4
#define REQUESTS 1500
#define DRAIN_MS 60000

static const struct {
    const char *name;
    enum bh_cause cause;
} kinds[] = {
    {"segv", BH_CAUSE_FAULT},  {"stack", BH_CAUSE_FAULT}, {"thread", BH_CAUSE_FAULT},
    {"abort", BH_CAUSE_ABORT}, {"exit", BH_CAUSE_EXIT},   {"_exit", BH_CAUSE_EXIT},
    {"kill", BH_CAUSE_EXIT},
};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

enum order { ECHO, DIE, LATER };

static bh_pool *pool;
static _Atomic uint64_t next_request, sent[3], outcomes[BH_OUTCOME_COUNT], wrong;
static uint64_t told_of[BH_PHASE_COUNT][BH_CAUSE_COUNT]; /* the supervisor's, until it is gone */

static uint64_t mix(uint64_t number)
{
    number += UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

/* ---- the load -------------------------------------------------------------------------------- */

static enum order order_of(uint64_t number)
{
    uint64_t dice = mix(number) % 100;

    return dice < 4 ? DIE : dice < 8 ? LATER : ECHO;
}

static bool is_right(enum order order, uint64_t kind, int64_t number,
                     const struct bh_result *result)
{
    int64_t back;

    switch (order) {
    case ECHO:
        return result->outcome == BH_OUTCOME_REPLIED &&
               bh_value_get_int64(&result->reply, &back) == BH_OK && back == number;
    case LATER:
        return result->outcome == BH_OUTCOME_REPLIED;
    case DIE:
        return result->outcome == BH_OUTCOME_DIED && result->has_death &&
               result->death.phase == BH_PHASE_REQUEST && result->death.serial == result->serial &&
               result->death.cause == kinds[kind].cause;
    }
    return false;
}

static void one_request(uint64_t number)
{
    enum order order = order_of(number);
    uint64_t kind = mix(~number) % KIND_COUNT;
    bh_value argument = bh_value_int64((int64_t)number);
    const char *method = order == ECHO ? "echo" : order == DIE ? "die" : "later";
    struct bh_result result;
    char text[700];

    if (order != ECHO)
        argument = bh_value_view(kinds[kind].name);
    bh_pool_invoke(pool, method, &argument, 1, &result);
    atomic_fetch_add(&sent[order], 1);
    atomic_fetch_add(&outcomes[result.outcome], 1);
    if (!is_right(order, kind, (int64_t)number, &result) && atomic_fetch_add(&wrong, 1) < 5)
        report_note("request %" PRIu64 ", %s(%s): %s", number, method,
                    order == ECHO ? "" : kinds[kind].name,
                    pool_describe(&result, text, sizeof text));
    bh_result_deinit(&result);
}

static DWORD WINAPI call_many(void *nothing)
{
    uint64_t number;

    (void)nothing;
    while ((number = atomic_fetch_add(&next_request, 1)) < REQUESTS)
        one_request(number);
    return 0;
}

static void run_callers(void)
{
    HANDLE callers[CALLERS];

    for (int i = 0; i < CALLERS; i++)
        callers[i] = CreateThread(NULL, 0, call_many, NULL, 0, NULL);
    WaitForMultipleObjects(CALLERS, callers, TRUE, INFINITE);
    for (int i = 0; i < CALLERS; i++)
        CloseHandle(callers[i]);
}

static void on_event(void *context, const struct bh_event *event)
{
    (void)context;
    told_of[event->death->phase][event->death->cause]++;
}

/* Until every worker has gone, so that the counters are final. */
static bool drain(struct bh_snapshot *snapshot)
{
    ULONGLONG until = GetTickCount64() + DRAIN_MS;

    bh_pool_drain(pool);
    while (bh_pool_snapshot(pool, snapshot) == BH_OK) {
        if (snapshot->worker_count == 0)
            return true;
        bh_snapshot_deinit(snapshot);
        if (GetTickCount64() > until)
            break;
        Sleep(2);
    }
    return false;
}

/* ---- the accounts ---------------------------------------------------------------------------- */

static uint64_t deaths_in(const struct bh_snapshot *snapshot, enum bh_phase phase)
{
    uint64_t sum = 0;

    for (unsigned cause = 0; cause < BH_CAUSE_COUNT; cause++)
        sum += snapshot->death[phase][cause];
    return sum;
}

static void equal(const char *name, uint64_t a, const char *what_a, uint64_t b, const char *what_b)
{
    report_check(a == b, name, "%" PRIu64 " %s, %" PRIu64 " %s", a, what_a, b, what_b);
}

static void compare_outcomes(const struct bh_snapshot *snapshot)
{
    uint64_t sum = 0, different = 0;

    for (unsigned i = 0; i < BH_OUTCOME_COUNT; i++) {
        sum += outcomes[i];
        different += outcomes[i] != snapshot->outcome[i];
    }
    equal("every request has one outcome", REQUESTS, "sent", sum, "outcomes");
    report_check(different == 0, "callers and pool count the same outcomes",
                 "%" PRIu64 " replied, %" PRIu64 " died, %" PRIu64 " others by the callers",
                 (uint64_t)outcomes[BH_OUTCOME_REPLIED], (uint64_t)outcomes[BH_OUTCOME_DIED],
                 sum - outcomes[BH_OUTCOME_REPLIED] - outcomes[BH_OUTCOME_DIED]);
}

static void compare_deaths(const struct bh_snapshot *snapshot)
{
    uint64_t all = 0, different = 0;

    for (unsigned phase = 0; phase < BH_PHASE_COUNT; phase++) {
        all += deaths_in(snapshot, phase);
        for (unsigned cause = 0; cause < BH_CAUSE_COUNT; cause++)
            different += told_of[phase][cause] != snapshot->death[phase][cause];
    }
    equal("deaths in requests", sent[DIE], "told to", deaths_in(snapshot, BH_PHASE_REQUEST), "did");
    equal("deaths between requests", sent[LATER], "told to", deaths_in(snapshot, BH_PHASE_IDLE),
          "did");
    report_check(deaths_in(snapshot, BH_PHASE_START_UP) > 0, "there were deaths at start-up",
                 "%" PRIu64, deaths_in(snapshot, BH_PHASE_START_UP));
    report_check(different == 0, "events and pool tell of the same deaths", "%" PRIu64 " deaths",
                 all);
    equal("what became of the workers", snapshot->starts, "started", all + snapshot->quits,
          "died or quit");
}

static void add_sums(const struct bh_snapshot *snapshot)
{
    const struct {
        const char *name;
        uint64_t number;
    } sums[] = {
        {"requests", snapshot->submitted},
        {"replied", snapshot->outcome[BH_OUTCOME_REPLIED]},
        {"died", snapshot->outcome[BH_OUTCOME_DIED]},
        {"requeued", snapshot->requeued},
        {"starts", snapshot->starts},
        {"quits", snapshot->quits},
        {"deaths_start_up", deaths_in(snapshot, BH_PHASE_START_UP)},
        {"deaths_request", deaths_in(snapshot, BH_PHASE_REQUEST)},
        {"deaths_idle", deaths_in(snapshot, BH_PHASE_IDLE)},
    };
    bh_value map = bh_value_map();
    char line[400] = "";

    for (size_t i = 0; i < sizeof sums / sizeof sums[0]; i++) {
        bh_value number = bh_value_int64((int64_t)sums[i].number);
        bh_map_set(&map, sums[i].name, &number);
        snprintf(line + strlen(line), sizeof line - strlen(line), "%s%s %" PRIu64,
                 i > 0 ? ", " : "", sums[i].name, sums[i].number);
    }
    report_note("%s", line);
    report_add("crowd", &map);
}

void crowd_run(void)
{
    struct bh_pool_options options = pool_options(WORKERS, "--sometimes=10");
    struct bh_snapshot snapshot = {0};

    report_part("A crowd of callers, and workers that die at random");
    options.crash_loop_limit = 1000;
    options.deadline_ms = 120000;
    options.on_event = on_event;
    options.event_mask = 1u << BH_EVENT_DIED;
    pool = pool_open(&options, "a crowd");
    if (pool == NULL)
        return;
    run_callers();
    bool drained = drain(&snapshot);
    bh_pool_close(pool);
    report_check(drained, "every worker leaves in the end", NULL);
    report_check(wrong == 0, "every outcome is the right one", "%" PRIu64 " are not",
                 (uint64_t)wrong);
    compare_outcomes(&snapshot);
    compare_deaths(&snapshot);
    add_sums(&snapshot);
    bh_snapshot_deinit(&snapshot);
}
