/* SPDX-License-Identifier: MIT */
/*
 * Small requests that wait in one worker, under kills, hangs, deadlines and cancels: none is lost,
 * none is run twice, and a death charges at most the one that had started. Where the platform has
 * no slots, the same must hold of the queue.
 *
 * timeout: 100
 */
#include "crowd.h"

#include <stdio.h>

#define SLOTS_WORKER BH_TEST_DIR "/slots_worker"
#define LIVES_MOST 2000

struct flight {
    unsigned completions;
    unsigned runs; /* that a worker noted */
    bool crashes;
    enum bh_outcome outcome;
    enum bh_delivery delivery;
    uint64_t serial;
    uint64_t cookie; /* of the death that it was charged with */
    int64_t ended_ms;
};

static struct flight *flights;
static int64_t flight_count;
static _Atomic int life_count;
static int64_t pids[LIVES_MOST];

static void on_event(void *context, const struct bh_event *event)
{
    (void)context;
    CHECK(life_count < LIVES_MOST);
    pids[life_count++] = event->pid;
}

static bh_pool *open_pool(uint32_t workers, uint32_t grace_ms)
{
    const char *arguments[] = {kit_temp_dir(), NULL};
    struct bh_pool_options options = crowd_options(workers);

    options.worker = SLOTS_WORKER;
    options.arguments = arguments;
    options.queue_length = 100000;
    options.grace_ms = grace_ms;
    options.on_event = on_event;
    options.event_mask = UINT32_C(1) << BH_EVENT_STARTED;
    life_count = 0;
    return crowd_open(&options);
}

static void begin(int64_t count)
{
    flight_count = count;
    flights = calloc((size_t)count, sizeof(*flights));
}

static void submit(bh_pool *pool, int64_t n, const char *method, const bh_value *arguments,
                   size_t count, uint32_t deadline_ms, bh_cancel *cancel)
{
    struct bh_request request = BH_REQUEST_INIT;

    request.method = method;
    request.arguments = arguments;
    request.argument_count = count;
    request.deadline_ms = deadline_ms;
    request.cancel = cancel;
    request.small = true;
    CHECK_INT(bh_pool_submit(pool, &request, NULL, &flights[n]), BH_REFUSAL_NONE);
}

static void submit_note(bh_pool *pool, int64_t n, const char *mode)
{
    const bh_value arguments[] = {bh_value_int64(n), bh_value_view(mode)};

    flights[n].crashes = strcmp(mode, "crash") == 0;
    submit(pool, n, "note", arguments, 2, 0, NULL);
}

static void submit_hang(bh_pool *pool, int64_t n, const char *mode, uint32_t deadline_ms,
                        bh_cancel *cancel)
{
    const bh_value argument = bh_value_view(mode);

    submit(pool, n, "hang", &argument, 1, deadline_ms, cancel);
}

static void note_end(struct flight *flight, struct bh_result *result)
{
    int64_t reply = -1;

    CHECK_INT(++flight->completions, 1);
    flight->outcome = result->outcome;
    flight->delivery = result->delivery;
    flight->serial = result->serial;
    flight->ended_ms = kit_now_ms();
    if (result->outcome == BH_OUTCOME_REPLIED && result->reply.type == BH_INT64) {
        CHECK_INT(bh_value_get_int64(&result->reply, &reply), BH_OK);
        CHECK_INT(reply, flight - flights);
    }
    if (result->outcome == BH_OUTCOME_DIED) {
        CHECK(result->has_death);
        CHECK_INT(result->death.serial, result->serial);
        flight->cookie = result->death.cookie;
    }
    bh_result_deinit(result);
}

/* @return how many */
static size_t take(bh_pool *pool, size_t most)
{
    struct bh_completion completions[64];
    size_t count = bh_pool_take(pool, completions, most, 30000);

    for (size_t i = 0; i < count; i++)
        note_end(completions[i].context, &completions[i].result);
    return count;
}

static void take_until_ended(bh_pool *pool, int64_t n)
{
    while (!flights[n].completions)
        CHECK(take(pool, 1) == 1);
}

/* What the workers noted, once they have ended. */
static void read_notes(void)
{
    char path[4096];
    int64_t n;

    for (int i = 0; i < life_count; i++) {
        snprintf(path, sizeof(path), "%s/%lld", kit_temp_dir(), (long long)pids[i]);
        FILE *file = fopen(path, "rb");
        if (!file)
            continue; /* it was killed before it came that far */
        while (fread(&n, sizeof(n), 1, file) == 1) {
            CHECK(n >= 0 && n < flight_count);
            flights[n].runs++;
        }
        fclose(file);
        CHECK_INT(remove(path), 0);
    }
}

static void end(bh_pool *pool)
{
    bh_pool_close(pool);
    read_notes();
    for (int64_t n = 0; n < flight_count; n++) {
        const struct flight *flight = &flights[n];
        CHECK_INT(flight->completions, 1);
        CHECK(flight->runs <= 1);
        CHECK(flight->delivery != BH_DELIVERY_NEVER_STARTED || flight->runs == 0);
        CHECK(flight->outcome != BH_OUTCOME_REPLIED || flight->runs == 1);
        CHECK(!flight->crashes || flight->runs == 1);
    }
    free(flights);
}

/* ---- deaths ---- */

static int64_t count_died(void)
{
    int64_t died = 0;

    for (int64_t n = 0; n < flight_count; n++) {
        if (flights[n].outcome != BH_OUTCOME_DIED) {
            CHECK_INT(flights[n].outcome, BH_OUTCOME_REPLIED);
            continue;
        }
        died++;
        for (int64_t i = 0; i < n; i++)
            CHECK(flights[i].cookie != flights[n].cookie);
    }
    return died;
}

/* Kills one that works. */
static int kill_one(bh_pool *pool)
{
    struct bh_snapshot snapshot;
    int killed = 0;

    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    for (size_t i = 0; i < snapshot.worker_count && !killed; i++)
        if (snapshot.workers[i].state == BH_WORKER_BUSY)
            killed = kit_pid_kill((int)snapshot.workers[i].pid);
    bh_snapshot_deinit(&snapshot);
    return killed;
}

TEST_TIMEOUT(a_kill_costs_at_most_the_one_that_had_started, 80)
{
    int64_t wanted = KIT_WINDOWS ? 5 : kit_slowdown() > 1 ? 30 : 150;
    struct bh_snapshot snapshot;
    int64_t kills = 0, taken = 0;

    begin(wanted * 100);
    bh_pool *pool = open_pool(2, 100);
    for (int64_t n = 0; n < flight_count; n++)
        submit_note(pool, n, "reply");
    while (taken < flight_count) {
        size_t count = take(pool, 1 + (size_t)(taken % 61));
        CHECK(count > 0);
        taken += (int64_t)count;
        if (taken / 100 > kills)
            kills += kill_one(pool);
    }
    int64_t died = count_died();
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    crowd_check_sums(&snapshot);
    CHECK_INT(snapshot.outcome[BH_OUTCOME_DIED], died);
    CHECK_INT(crowd_deaths(&snapshot, BH_PHASE_REQUEST), died);
    bh_snapshot_deinit(&snapshot);
    CHECK(died <= kills);
    CHECK(kills > wanted / 2);
    printf("# %lld kills cost %lld requests\n", (long long)kills, (long long)died);
    end(pool);
}

TEST_TIMEOUT(crashes_cost_exactly_those_that_crash, 80)
{
    struct bh_snapshot snapshot;
    int64_t died = 0;

    begin(KIT_WINDOWS ? 200 : 2000);
    bh_pool *pool = open_pool(2, 100);
    for (int64_t n = 0; n < flight_count; n++)
        submit_note(pool, n, n % 20 == 7 ? "crash" : "reply");
    while (take(pool, 64) > 0)
        continue;
    for (int64_t n = 0; n < flight_count; n++) {
        CHECK_INT(flights[n].outcome == BH_OUTCOME_DIED, flights[n].crashes);
        died += flights[n].outcome == BH_OUTCOME_DIED;
    }
    CHECK_INT(died, flight_count / 20);
    CHECK_INT(count_died(), died);
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    CHECK_INT(crowd_deaths(&snapshot, BH_PHASE_REQUEST), died);
    CHECK_INT(crowd_deaths(&snapshot, BH_PHASE_IDLE), 0);
    bh_snapshot_deinit(&snapshot);
    end(pool);
}

/* ---- while one hangs ---- */

#define GRACE_MS 100

static bh_cancel *blocker;

static bool runs_hang(void *context)
{
    struct bh_snapshot snapshot;

    CHECK_INT(bh_pool_snapshot(context, &snapshot), BH_OK);
    bool runs = snapshot.worker_count == 1 && strcmp(snapshot.workers[0].method, "hang") == 0;
    bh_snapshot_deinit(&snapshot);
    return runs;
}

/* One worker, kept busy by the last of the flights, so that what is submitted now waits. */
static bh_pool *open_blocked(void)
{
    bh_pool *pool = open_pool(1, GRACE_MS * (unsigned)kit_slowdown());

    CHECK_INT(bh_pool_wait_ready(pool, 1, 10000 * (unsigned)kit_slowdown(), NULL), BH_OK);
    blocker = bh_cancel_new();
    submit_hang(pool, flight_count - 1, "politely", 0, blocker);
    CHECK(kit_wait_until(runs_hang, pool, 10000));
    return pool;
}

/* The worker becomes free, and takes as many as it has room for. */
static void unblock(bh_pool *pool)
{
    bh_cancel_raise(blocker);
    take_until_ended(pool, flight_count - 1);
    CHECK_INT(flights[flight_count - 1].delivery, BH_DELIVERY_COMMITTED);
    bh_cancel_free(blocker);
}

TEST(what_waits_is_cancelled_at_once_while_another_hangs)
{
    bh_cancel *token = bh_cancel_new(), *hang = bh_cancel_new();

    begin(22);
    bh_pool *pool = open_blocked();
    submit_hang(pool, 0, "for ever", 0, hang);
    for (int64_t n = 1; n < 21; n++) {
        const bh_value arguments[] = {bh_value_int64(n), bh_value_view("reply")};
        submit(pool, n, "note", arguments, 2, 0, n % 2 ? token : NULL);
    }
    unblock(pool);
    CHECK(kit_wait_until(runs_hang, pool, 10000));
    bh_cancel_raise(token);
    for (int64_t n = 1; n < 21; n += 2) {
        take_until_ended(pool, n);
        CHECK_INT(flights[n].outcome, BH_OUTCOME_CANCELLED);
        CHECK_INT(flights[n].delivery, BH_DELIVERY_NEVER_STARTED);
    }
    CHECK_INT(flights[0].completions, 0);
    CHECK_INT(flights[2].completions, 0);
    bh_cancel_raise(hang);
    while (take(pool, 64) > 0)
        continue;
    CHECK_INT(flights[0].outcome, BH_OUTCOME_CANCELLED);
    for (int64_t n = 2; n < 21; n += 2)
        CHECK_INT(flights[n].outcome, BH_OUTCOME_REPLIED);
    end(pool);
    bh_cancel_free(token);
    bh_cancel_free(hang);
}

TEST(what_waits_has_its_deadline_while_another_hangs)
{
    bh_cancel *hang = bh_cancel_new();

    begin(12);
    bh_pool *pool = open_blocked();
    submit_hang(pool, 0, "for ever", 0, hang);
    for (int64_t n = 1; n < 11; n++) {
        const bh_value arguments[] = {bh_value_int64(n), bh_value_view("reply")};
        submit(pool, n, "note", arguments, 2, n % 2 ? 200 : 0, NULL);
    }
    unblock(pool);
    for (int64_t n = 1; n < 11; n += 2) {
        take_until_ended(pool, n);
        CHECK_INT(flights[n].outcome, BH_OUTCOME_DEADLINE);
        CHECK_INT(flights[n].delivery, BH_DELIVERY_NEVER_STARTED);
    }
    CHECK_INT(flights[0].completions, 0);
    bh_cancel_raise(hang);
    while (take(pool, 64) > 0)
        continue;
    end(pool);
    bh_cancel_free(hang);
}

/* The one that hangs is killed, or gives up; either way the others are served, in their order. */
static void the_others_are_served(const char *how)
{
    begin(42);
    bh_pool *pool = open_blocked();
    submit_note(pool, 1, "reply");
    submit_hang(pool, 0, how, 200, NULL);
    for (int64_t n = 2; n < 41; n++)
        submit_note(pool, n, "reply");
    unblock(pool);
    while (take(pool, 64) > 0)
        continue;
    CHECK_INT(flights[0].outcome, BH_OUTCOME_DEADLINE);
    for (int64_t n = 1; n < 41; n++) {
        CHECK_INT(flights[n].outcome, BH_OUTCOME_REPLIED);
        CHECK(n == 1 || flights[n].serial > flights[n - 1].serial);
    }
    end(pool);
}

TEST(when_one_is_killed_for_its_deadline_those_behind_it_are_served)
{
    the_others_are_served("for ever");
}

TEST(when_one_gives_up_those_behind_it_are_served)
{
    the_others_are_served("politely");
}

/* ---- sizes ---- */

TEST(what_is_not_so_small_arrives_all_the_same)
{
    static const int64_t sizes[] = {0, 1, 400, 495, 496, 500, 504, 512, 5000, 70000, 300000};
    static char filler[5000];
    const size_t count = sizeof(sizes) / sizeof(sizes[0]);
    struct bh_completion completion;
    bh_pool *pool = open_pool(1, 100);
    struct bh_request request = BH_REQUEST_INIT;

    memset(filler, 'a', sizeof(filler) - 1);
    request.small = true;
    request.method = "text";
    for (size_t i = 0; i < 3 * count; i++) {
        const char *more = filler + sizeof(filler) - 1 - i * 45;
        const bh_value arguments[] = {bh_value_int64(sizes[i % count]), bh_value_view(more)};
        request.arguments = arguments;
        request.argument_count = 2;
        CHECK_INT(bh_pool_submit(pool, &request, NULL, NULL), BH_REFUSAL_NONE);
    }
    for (size_t i = 0; i < 3 * count; i++) {
        CHECK_INT(bh_pool_take(pool, &completion, 1, 30000), 1);
        CHECK_INT(completion.result.outcome, BH_OUTCOME_REPLIED);
        CHECK_INT(completion.result.reply.length, sizes[i % count]);
        bh_result_deinit(&completion.result);
    }
    request.method = "fail";
    const bh_value length = bh_value_int64(3000);
    request.arguments = &length;
    request.argument_count = 1;
    CHECK_INT(bh_pool_submit(pool, &request, NULL, NULL), BH_REFUSAL_NONE);
    CHECK_INT(bh_pool_take(pool, &completion, 1, 30000), 1);
    CHECK_INT(completion.result.outcome, BH_OUTCOME_FAILED);
    CHECK_INT(completion.result.code, 7);
    CHECK_INT(strspn(completion.result.text, "x"), strlen(completion.result.text));
    CHECK(strlen(completion.result.text) == 512 || strlen(completion.result.text) == 3000);
    bh_result_deinit(&completion.result);
    begin(0);
    end(pool);
}

/* A large reply after them is what a worker that sent something for each could not make any more.
 */
TEST(buffers_that_small_requests_do_not_use_leave_nothing_behind)
{
    enum { MANY = 100 };
    bh_pool *pool = open_pool(1, 100);
    const bh_value size = bh_value_int64(300000);
    struct bh_result result;

    begin(MANY);
    for (int64_t n = 0; n < MANY; n++)
        submit(pool, n, "waste", NULL, 0, 0, NULL);
    for (size_t taken = 0; taken < MANY;)
        taken += take(pool, 64);
    for (int64_t n = 0; n < MANY; n++)
        CHECK_INT(flights[n].outcome, BH_OUTCOME_FAILED);
    CHECK_INT(bh_pool_invoke(pool, "text", &size, 1, &result), BH_OUTCOME_REPLIED);
    CHECK_INT(result.reply.length, 300000);
    bh_result_deinit(&result);
    end(pool);
}
