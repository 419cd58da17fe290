/* SPDX-License-Identifier: MIT */
/*
 * Templates: workers forked from one are workers like any other, and whatever happens to a template
 * costs nobody anything.
 *
 * timeout: 120
 */
#include "probe.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEMPLATE_WORKER BH_TEST_DIR "/template_worker"

/* ---- what is told of templates ---- */

struct watch {
    _Atomic int ready, lost, died, started, replaced, launcher;
    _Atomic int pid; /* of the latest template that was ready */
    char text[300];  /* of the latest that was lost */
};

static void on_event(void *context, const struct bh_event *event)
{
    struct watch *watch = context;

    if (event->type == BH_EVENT_DIED)
        atomic_fetch_add(&watch->died, 1);
    if (event->type == BH_EVENT_STARTED)
        atomic_fetch_add(&watch->started, 1);
    if (event->type == BH_EVENT_REPLACED)
        atomic_fetch_add(&watch->replaced, 1);
    if (event->type == BH_EVENT_LAUNCHER)
        atomic_fetch_add(&watch->launcher, 1);
    if (event->type != BH_EVENT_TEMPLATE)
        return;
    if (event->text == NULL) {
        atomic_store(&watch->pid, (int)event->pid);
        atomic_fetch_add(&watch->ready, 1);
    } else {
        snprintf(watch->text, sizeof(watch->text), "%s", event->text);
        atomic_fetch_add(&watch->lost, 1);
    }
}

struct wish {
    const _Atomic int *counter;
    int least;
};

static bool is_reached(void *context)
{
    const struct wish *wish = context;

    return atomic_load(wish->counter) >= wish->least;
}

static void await(const _Atomic int *counter, int least)
{
    struct wish wish = {counter, least};

    if (!kit_wait_until(is_reached, &wish, 10000))
        FAIL("waited in vain: %d of %d", atomic_load(counter), least);
}

static struct bh_pool_options template_options(struct watch *watch, uint32_t workers)
{
    struct bh_pool_options options = probe_options(workers);

    options.worker = TEMPLATE_WORKER;
    options.templates = 1;
    options.on_event = on_event;
    options.event_context = watch;
    return options;
}

/* A pool whose one worker was forked. */
static bh_pool *open_forked(struct bh_pool_options *options, struct watch *watch)
{
    struct bh_result result;

    bh_pool *pool = probe_open(options);
    await(&watch->ready, 1);
    bh_value how = bh_value_view("abort");
    CHECK_INT(bh_pool_invoke(pool, "die", &how, 1, &result), BH_OUTCOME_DIED);
    bh_result_deinit(&result);
    return pool;
}

static uint64_t forked(bh_pool *pool)
{
    struct bh_snapshot snapshot;

    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    uint64_t count = snapshot.template_starts;
    CHECK_INT(snapshot.failed_starts, 0);
    bh_snapshot_deinit(&snapshot);
    return count;
}

struct self {
    int pid, parent, session, made_by;
};

static struct self ask(bh_pool *pool)
{
    struct bh_result result;
    const int64_t *numbers;
    size_t count;

    probe_call(pool, "self", NULL, 0, &result);
    CHECK_INT(bh_value_get_i64(&result.reply, &numbers, &count), BH_OK);
    CHECK_INT(count, 4);
    struct self self = {(int)numbers[0], (int)numbers[1], (int)numbers[2], (int)numbers[3]};
    bh_result_deinit(&result);
    return self;
}

static void ask_text(bh_pool *pool, const char *method, char *text, size_t size)
{
    struct bh_result result;

    probe_call(pool, method, NULL, 0, &result);
    CHECK_INT(result.reply.type, BH_STRING);
    snprintf(text, size, "%s", result.reply.as.string);
    bh_result_deinit(&result);
}

static void kill_worker(bh_pool *pool)
{
    struct bh_result result;

    probe_expect(pool, "die", "abort", BH_OUTCOME_DIED, &result);
    bh_result_deinit(&result);
}

/* ---- what a forked worker is ---- */

TEST(a_forked_worker_is_a_worker_of_its_own)
{
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 1);
    struct bh_snapshot snapshot;
    char plain[1024], text[1024], expected[512];

    bh_pool *pool = probe_open(&options);
    struct self first = ask(pool);
    ask_text(pool, "fds", plain, sizeof(plain));
    CHECK_INT(first.made_by, first.pid);
    await(&watch.ready, 1);
    kill_worker(pool);
    struct self self = ask(pool);
    CHECK_INT(forked(pool), 1);
    CHECK_INT(self.made_by, watch.pid);
    CHECK(self.pid != self.made_by && self.pid != first.pid);
    CHECK_INT(self.parent, first.parent);
    CHECK_INT(self.session, self.pid);

    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.worker_count, 1);
    CHECK_INT(snapshot.workers[0].pid, self.pid);
    snprintf(expected, sizeof(expected), "--bulkhead=template_worker,%020llu,%d %020llu %020llu",
             (unsigned long long)snapshot.workers[0].cookie, kit_own_pid(),
             (unsigned long long)snapshot.workers[0].cookie,
             (unsigned long long)snapshot.workers[0].cookie);
    bh_snapshot_deinit(&snapshot);
    ask_text(pool, "shown", text, sizeof(text));
    CHECK_STR(text, expected);
    ask_text(pool, "fds", text, sizeof(text));
    CHECK_STR(text, plain);
    CHECK(probe_number(pool, "atfork") >= 1); /* some sanitizers fork for vfork() as well */
    bh_pool_close(pool);
}

TEST(libc_knows_the_forked_process)
{
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 1);
    struct bh_result result;
    bool right = false;

    bh_pool *pool = open_forked(&options, &watch);
    probe_call(pool, "cpu", NULL, 0, &result);
    CHECK_INT(bh_value_get_bool(&result.reply, &right), BH_OK);
    CHECK(right);
    bh_result_deinit(&result);
    probe_expect(pool, "die", "abort", BH_OUTCOME_DIED, &result);
    CHECK_INT(result.death.cause, BH_CAUSE_ABORT); /* raised by its own number */
    CHECK_INT(result.death.thread_id, result.death.pid);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(its_output_is_its_own)
{
    static const char *const arguments[] = {"print", NULL};
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 1);
    struct bh_result result;

    options.arguments = arguments;
    bh_pool *pool = open_forked(&options, &watch);
    probe_expect(pool, "say", "last words", BH_OUTCOME_REPLIED, &result);
    bh_result_deinit(&result);
    probe_expect(pool, "die", "segv!", BH_OUTCOME_DIED, &result);
    CHECK_STR(result.death.output, "last words"); /* and not what init() left */
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(many_are_forked_at_once)
{
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 16);
    struct bh_problem problem = {0};

    options.min_workers = 1;
    bh_pool *pool = probe_open(&options);
    await(&watch.ready, 1);
    if (bh_pool_wait_ready(pool, 16, 10000u * (unsigned)kit_slowdown(), &problem))
        FAIL("%s", problem.text);
    CHECK_INT(forked(pool), 15);
    CHECK_INT(watch.died, 0);
    bh_pool_close(pool);
}

/* ---- how it dies ---- */

static void compare_deaths(const struct bh_death *a, const struct bh_death *b, const char *kind)
{
    if (a->cause != b->cause || a->signal != b->signal || a->exit_code != b->exit_code ||
        a->exiting != b->exiting || a->has_fault != b->has_fault ||
        a->stack_overflow != b->stack_overflow || a->signal_code != b->signal_code ||
        a->phase != b->phase || a->served != b->served || a->syscall != b->syscall ||
        (a->sender_pid == a->pid) != (b->sender_pid == b->pid) ||
        (a->thread_id == (uint64_t)a->pid) != (b->thread_id == (uint64_t)b->pid)) {
        char one[300], other[300];
        FAIL("%s: %s; %s", kind, bh_death_describe(a, one, sizeof(one)),
             bh_death_describe(b, other, sizeof(other)));
    }
}

/* The first worker of a pool without templates dies of each, and the forked one of another. */
TEST_TIMEOUT(it_dies_like_any_other, 60)
{
    static const char *const kinds[] = {"segv",  "fpe",  "ill",   "thread", "stack",
                                        "abort", "exit", "_exit", "kill"};
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 1);

    options.worker = MISHAPS;
    bh_pool *warm = open_forked(&options, &watch);
    options.templates = 0;
    bh_pool *cold = probe_open(&options);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct bh_result of_cold, of_warm;
        probe_expect(cold, "die", kinds[i], BH_OUTCOME_DIED, &of_cold);
        probe_expect(warm, "die", kinds[i], BH_OUTCOME_DIED, &of_warm);
        compare_deaths(&of_warm.death, &of_cold.death, kinds[i]);
        bh_result_deinit(&of_cold);
        bh_result_deinit(&of_warm);
    }
    CHECK(forked(warm) >= sizeof(kinds) / sizeof(kinds[0]));
    CHECK_INT(forked(cold), 0);
    CHECK_INT(watch.lost, 0);
    bh_pool_close(warm);
    bh_pool_close(cold);
}

TEST(its_strays_end_with_it)
{
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 1);

    bh_pool *pool = open_forked(&options, &watch);
    int stray = (int)probe_number(pool, "stray");
    CHECK(stray > 0 && !kit_pid_gone(stray, 0));
    kill_worker(pool);
    CHECK(kit_pid_gone(stray, 5000));
    bh_pool_close(pool);
}

/* ---- what happens to templates ---- */

TEST(without_templates_there_is_none)
{
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 1);

    options.templates = 0;
    bh_pool *pool = probe_open(&options);
    for (int i = 0; i < 5; i++) {
        struct self self = ask(pool);
        CHECK_INT(self.made_by, self.pid);
        CHECK_INT(kit_descendants(NULL, 0), 2); /* it and the launcher */
        kill_worker(pool);
    }
    CHECK_INT(forked(pool), 0);
    bh_pool_close(pool);
    CHECK_INT(watch.ready + watch.lost, 0);
}

TEST_TIMEOUT(a_killed_template_is_replaced_and_costs_nobody_anything, 60)
{
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 2);

    bh_pool *pool = probe_open(&options);
    for (int i = 1; i <= 3; i++) {
        await(&watch.ready, i);
        int pid = watch.pid;
        CHECK(kit_pid_kill(pid));
        kill_worker(pool); /* who starts now is not lost, however it is started */
        kill_worker(pool);
        ask(pool);
        await(&watch.lost, i);
        CHECK_STR(watch.text, "SIGKILL");
        await(&watch.ready, i + 1);
        CHECK(watch.pid != pid);
        uint64_t before = forked(pool);
        kill_worker(pool);
        ask(pool);
        await(&watch.started, 2 + 3 * i);
        CHECK(forked(pool) > before);
    }
    bh_pool_close(pool);
    CHECK_INT(watch.died, 9);
}

struct load {
    bh_pool *pool;
    _Atomic bool done;
    _Atomic int replied, died;
};

static void call_until_done(void *context)
{
    struct load *load = context;
    bh_value how = bh_value_view("abort");

    for (int n = 0; !atomic_load(&load->done); n++) {
        struct bh_result result;
        bool dies = n % 8 == 7;
        enum bh_outcome outcome =
            bh_pool_invoke(load->pool, dies ? "die" : "self", &how, dies, &result);
        if (outcome != (dies ? BH_OUTCOME_DIED : BH_OUTCOME_REPLIED))
            FAIL("%s: %s", bh_outcome_name(outcome), result.text ? result.text : "");
        if (dies)
            CHECK_INT(result.death.cause, BH_CAUSE_ABORT);
        atomic_fetch_add(dies ? &load->died : &load->replied, 1);
        bh_result_deinit(&result);
    }
}

/* While workers die and are forked all the time. */
TEST_TIMEOUT(no_request_is_lost_with_a_template, 60)
{
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 4);
    struct load load = {0};
    kit_thread *threads[6];

    load.pool = probe_open(&options);
    for (int i = 0; i < 6; i++)
        threads[i] = kit_thread_start(call_until_done, &load);
    for (int i = 1; i <= 10; i++) {
        await(&watch.ready, i);
        await(&load.died, atomic_load(&load.died) + 5);
        CHECK(kit_pid_kill(watch.pid));
        await(&watch.lost, i);
    }
    atomic_store(&load.done, true);
    for (int i = 0; i < 6; i++)
        kit_thread_join(threads[i]);
    CHECK(forked(load.pool) > 10);
    bh_pool_close(load.pool);
    CHECK_INT(watch.died, load.died);
    CHECK_INT(watch.launcher, 0);
}

/* One that stands still holds up whoever was to be forked, for a moment. */
TEST_TIMEOUT(a_template_that_stands_still_is_given_up, 60)
{
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 1);

    bh_pool *pool = probe_open(&options);
    await(&watch.ready, 1);
    CHECK(kit_pid_stop(watch.pid));
    kill_worker(pool);
    struct self self = ask(pool);
    CHECK_INT(self.made_by, self.pid);
    await(&watch.lost, 1);
    CHECK_STR(watch.text, "it does not fork");
    CHECK_INT(forked(pool), 0);
    bh_pool_close(pool);
    CHECK_INT(watch.died, 1);
}

struct wrong {
    const char *how;
    const char *text;
};

TEST_TIMEOUT(what_goes_wrong_in_a_template_alone_is_told_and_costs_nothing, 100)
{
    static const struct wrong wrongs[] = {
        {"fail", "exit 5: in the template: fail"},
        {"exit", "exit 6: in the template: exit"},
        {"crash", "SIGSEGV: in the template: crash"},
        {"thread", "more than one thread"},
        {"hang", "it is not ready in time: in the template: hang"},
    };

    for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
        const char *const arguments[] = {wrongs[i].how, NULL};
        struct watch watch = {0};
        struct bh_pool_options options = template_options(&watch, 1);
        options.arguments = arguments;
        if (strcmp(wrongs[i].how, "hang") == 0)
            options.start_timeout_ms = 3000u * (unsigned)kit_slowdown();
        bh_pool *pool = probe_open(&options);
        await(&watch.lost, 1);
        CHECK_CONTAINS(watch.text, wrongs[i].text);
        kill_worker(pool);
        struct self self = ask(pool);
        CHECK_INT(self.made_by, self.pid);
        CHECK_INT(forked(pool), 0);
        bh_pool_close(pool);
        CHECK_INT(watch.died, 1);
        CHECK_INT(watch.ready, 0);
    }
}

/* It is not tried for ever: but a new generation may be better. */
TEST_TIMEOUT(a_new_generation_tries_again_what_never_came_to_be, 60)
{
    static const char *const arguments[] = {"fail", NULL};
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 1);

    options.arguments = arguments;
    bh_pool *pool = probe_open(&options);
    await(&watch.lost, 5);
    kill_worker(pool);
    ask(pool); /* which would like one, too */
    CHECK_INT(bh_pool_replace(pool), BH_OK);
    await(&watch.lost, 6);
    bh_pool_close(pool);
}

TEST(more_threads_than_one_make_no_template)
{
    static const char *const arguments[] = {"threads", NULL};
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 1);

    options.arguments = arguments;
    bh_pool *pool = probe_open(&options);
    for (int i = 0; i < 3; i++) {
        struct self self = ask(pool);
        CHECK_INT(self.made_by, self.pid);
        kill_worker(pool);
    }
    bh_pool_close(pool);
    CHECK_INT(watch.ready + watch.lost, 0);
}

/* ---- the template first ---- */

TEST(where_it_comes_first_every_worker_is_forked_from_it)
{
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 4);
    struct bh_problem problem = {0};

    options.templates = 2;
    bh_pool *pool = probe_open(&options);
    for (int i = 1; i <= 3; i++) {
        if (bh_pool_wait_ready(pool, 4, 10000u * (unsigned)kit_slowdown(), &problem))
            FAIL("%s", problem.text);
        CHECK_INT(atomic_load(&watch.ready), i);
        CHECK_INT(ask(pool).made_by, watch.pid);
        CHECK_INT(forked(pool), 4 * i);
        CHECK_INT(bh_pool_replace(pool), BH_OK);
        await(&watch.replaced, i);
    }
    CHECK_INT(watch.lost + watch.died, 0);
    bh_pool_close(pool);
}

TEST_TIMEOUT(who_waits_for_a_template_that_fails_is_started_plainly, 60)
{
    static const char *const hows[] = {"fail", "crash", "thread", "hang", "threads"};

    for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
        const char *const arguments[] = {hows[i], NULL};
        struct watch watch = {0};
        struct bh_pool_options options = template_options(&watch, 2);
        options.arguments = arguments;
        options.templates = 2;
        if (strcmp(hows[i], "hang") == 0)
            options.start_timeout_ms = 3000u * (unsigned)kit_slowdown();
        bh_pool *pool = probe_open(&options);
        struct self self = ask(pool);
        CHECK_INT(self.made_by, self.pid);
        await(&watch.lost, 1);
        CHECK_INT(forked(pool), 0);
        bh_pool_close(pool);
        CHECK_INT(watch.died, 0);
    }
}

static bool both_wait(void *pool)
{
    struct bh_snapshot snapshot;

    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    bool both = snapshot.worker_state[BH_WORKER_STARTING] == 2;
    bh_snapshot_deinit(&snapshot);
    return both && kit_descendants(NULL, 0) == 2; /* launcher and template */
}

/* Not for the template's whole time. */
TEST(a_pool_closes_while_everybody_waits_for_a_template)
{
    static const char *const arguments[] = {"hang", NULL};
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 2);

    options.arguments = arguments;
    options.templates = 2;
    options.start_timeout_ms = 600000;
    options.drain_timeout_ms = 50;
    bh_pool *pool = probe_open(&options);
    CHECK(kit_wait_until(both_wait, pool, 10000));
    bh_pool_close(pool);
    CHECK_INT(atomic_load(&watch.launcher), 0);
}

/* ---- replacement ---- */

TEST_TIMEOUT(a_new_generation_has_a_new_template, 60)
{
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 1);

    bh_pool *pool = open_forked(&options, &watch);
    int old = watch.pid;
    for (int i = 0; i < 5; i++) {
        CHECK_INT(ask(pool).made_by, old);
        CHECK_INT(bh_pool_replace(pool), BH_OK);
        await(&watch.started, 3 + 2 * i);
        CHECK(kit_pid_gone(old, 5000));
        await(&watch.ready, 2 + i);
        CHECK(watch.pid != old);
        old = watch.pid;
        while (ask(pool).made_by != ask(pool).pid) /* the one that is about to leave */
            continue;
        kill_worker(pool);
        await(&watch.started, 4 + 2 * i);
    }
    CHECK_INT(watch.lost, 0);
    bh_pool_close(pool);
}

/* ---- the launcher ---- */

TEST_TIMEOUT(a_lost_launcher_takes_its_template_along, 60)
{
    struct watch watch = {0};
    struct bh_pool_options options = template_options(&watch, 1);

    bh_pool *pool = open_forked(&options, &watch);
    for (int i = 0; i < 3; i++) {
        struct self self = ask(pool);
        int template = watch.pid;
        CHECK(kit_pid_kill(self.parent));
        CHECK(kit_pid_gone(self.pid, 1000));
        CHECK(kit_pid_gone(template, 1000));
        await(&watch.ready, 2 + i);
        while (ask(pool).parent == self.parent)
            continue;
    }
    bh_pool_close(pool);
}

/* ---- the dispatcher ---- */

static bool has_descendants(void *count)
{
    return kit_descendants(NULL, 0) == (size_t)(uintptr_t)count;
}

TEST_TIMEOUT(nothing_outlives_a_killed_dispatcher, 60)
{
    static const char *const argv[] = {BH_TEST_BIN_DIR "/bulkhead",
                                       "map",
                                       "--templates",
                                       "2",
                                       "--max-workers",
                                       "2",
                                       "--min-workers",
                                       "2",
                                       "--worker",
                                       TEMPLATE_WORKER,
                                       "self",
                                       NULL};

    for (int i = 0; i < 5; i++) {
        int inputs[2];
        CHECK_INT(pipe(inputs), 0); /* it waits for a line */
        pid_t pid = kit_spawn(argv, inputs[0], -1, -1);
        /* it, its launcher, the template, two workers */
        CHECK(kit_wait_until(has_descendants, (void *)5, 10000));
        kill(pid, SIGKILL);
        CHECK_INT(waitpid(pid, NULL, 0), pid);
        CHECK(kit_wait_until(has_descendants, NULL, 1000));
        close(inputs[0]);
        close(inputs[1]);
    }
}
