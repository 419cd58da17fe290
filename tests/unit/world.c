/* SPDX-License-Identifier: MIT */
/*
 * Threads that take turns.
 *
 * Model: each thread of the world is a thread of the system that runs only while it holds the
 * baton. It gives the baton away where the fake platform would block it, to one whose flag is set
 * or whose time has come; if there is none, the clock moves. Threads that have ended wait for other
 * work, so that thousands of worlds cost a handful of threads.
 *
 * A method's name is its plan: a deed and the milliseconds until its end, "reply 20", "die 5",
 * "hang", "cooperate 30" (then: from the nudge to its end). Without a number: 1 ms, or the default.
 *
 * Invariants: exactly one thread is `current`; it is the only one that touches anything here.
 */
#include "world.h"

#include "core/pool_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS (WORLD_CALLS + 16)

struct thread {
    kit_thread *system;
    kit_gate *turn;
    bool exists;
    bool busy; /* it has something to run */
    bool leave;
    const bool *done; /* what it waits for; NULL: it can run */
    int64_t until;
    void (*run)(void *);
    void *argument;
};

struct world world;

static struct thread threads[THREADS]; /* the first is the test's own */
static struct thread *current = &threads[0];
static uint64_t random_state;
static uint64_t first_cookie;

/** See world.h. */
uint32_t world_random(uint32_t bound)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) >> 33) % bound;
}

static bool chance(uint32_t percent)
{
    return world.seed && world_random(100) < percent;
}

/* ---- the baton ---- */

static void give(struct thread *next)
{
    struct thread *self = current;

    if (next == self)
        return;
    world.switches++;
    current = next;
    kit_gate_open(next->turn);
    kit_gate_pass(self->turn);
}

static bool can_run(const struct thread *thread)
{
    if (!thread->busy)
        return false;
    return !thread->done || *thread->done || bhp_now() >= thread->until;
}

/* One that can run, or NULL: the next one in turn, or any. */
static struct thread *choose(void)
{
    size_t from = world.seed ? world_random(THREADS) : (size_t)(current - threads) + 1;
    bool wake = chance(3); /* for no reason */

    for (size_t i = 0; i < THREADS; i++) {
        struct thread *thread = &threads[(from + i) % THREADS];
        if (can_run(thread) || (wake && thread->busy))
            return thread;
    }
    return NULL;
}

/* Moves the clock to the next thing due, but not beyond `limit`. @return false: nothing is due */
static bool pass_time(int64_t limit)
{
    int64_t next = bhf_next();

    for (size_t i = 0; i < THREADS; i++)
        if (threads[i].busy && threads[i].done && threads[i].until < next)
            next = threads[i].until;
    if (next == BHP_FOREVER)
        return false;
    if (next > limit)
        next = limit;
    if (next > bhp_now())
        world.switched_at = world.switches;
    bhf_advance(next);
    if (bhf_processes() > world.most_processes)
        world.most_processes = bhf_processes();
    return true;
}

/* Lets somebody run, perhaps the caller. @return false: nobody ever can */
static bool schedule(void)
{
    struct thread *next;

    if (world.pool)
        world_check();
    if (world.switches - world.switched_at > 100000)
        FAIL("seed %llu: time stands still; events: %s", (unsigned long long)world.seed, world.log);
    if (chance(5)) /* somebody could run, but is slow to */
        pass_time(bhp_now() + 5 * BHF_MS);
    while (!(next = choose()))
        if (!pass_time(BHP_FOREVER))
            return false;
    give(next);
    return true;
}

static void live(void *argument)
{
    struct thread *self = argument;

    kit_gate_pass(self->turn);
    while (!self->leave) {
        self->run(self->argument);
        self->busy = false;
        if (!schedule())
            FAIL("every thread waits for ever");
    }
    current = &threads[0];
    kit_gate_open(threads[0].turn);
}

/** See world.h. */
void world_spawn(void (*run)(void *argument), void *argument)
{
    struct thread *thread = &threads[1];

    while (thread->busy)
        thread++;
    CHECK(thread < threads + THREADS);
    thread->run = run;
    thread->argument = argument;
    thread->done = NULL;
    thread->busy = true;
    if (thread->exists)
        return;
    thread->exists = true;
    thread->leave = false;
    thread->turn = kit_gate_new();
    thread->system = kit_thread_start(live, thread);
}

/** See world.h. */
void world_leave(void)
{
    for (struct thread *thread = threads + 1; thread < threads + THREADS; thread++) {
        if (!thread->exists)
            continue;
        CHECK(!thread->busy);
        thread->leave = true;
        give(thread);
        kit_thread_join(thread->system);
        kit_gate_free(thread->turn);
        thread->exists = false;
    }
    kit_gate_free(threads[0].turn);
    threads[0].exists = false;
}

/* ---- the driver of the fake ---- */

static bool on_wait(void *context, const bool *done, int64_t until)
{
    struct thread *self = current;

    (void)context;
    self->done = done;
    self->until = until;
    bool goes_on = schedule();
    self->done = NULL;
    return goes_on;
}

static void on_pause(void *context)
{
    (void)context;
    if (chance(10) && !schedule())
        FAIL("a thread that can run is not found");
}

static void on_spawn(void *context, void (*run)(void *), void *argument)
{
    (void)context;
    world_spawn(run, argument);
}

static void plan_start(void *context, uint64_t nth, uint64_t cookie, struct bhf_start *plan)
{
    (void)context;
    if (nth == 1)
        first_cookie = cookie;
    if (world.on_start)
        world.on_start(nth, plan);
}

/* The argument of a world_call() is its number. */
static struct world_call *call_of(const struct bhp_call *call)
{
    int64_t number = call->argument_count ? call->arguments[0].as.int64 : 0;

    return number > 0 && number <= (int64_t)world.call_count ? &world.calls[number - 1] : NULL;
}

static void plan_request(void *context, uint64_t cookie, const struct bhp_call *call,
                         struct bhf_request *plan)
{
    static const char *const deeds[] = {
        "reply",  "fail",       "die",       "die-unstarted", "die-committed", "hang",  "cooperate",
        "broken", "unreadable", "no-method", "too-large",     "invalid",       "memory"};
    size_t length = strcspn(call->method, " ");
    int64_t ms = call->method[length] ? atoi(call->method + length) : 1;

    (void)context;
    if (call_of(call))
        call_of(call)->cookie = cookie;
    for (unsigned i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++)
        if (strlen(deeds[i]) == length && memcmp(deeds[i], call->method, length) == 0)
            plan->deed = (enum bhf_deed)i;
    plan->end_ms = plan->nudged_ms = ms;
    plan->code = 7;
    if (world.on_request)
        world.on_request(call, plan);
}

static void on_begun(void *context, const struct bhp_call *call)
{
    (void)context;
    if (call_of(call))
        call_of(call)->begun++;
}

static void on_broken(void *context, const char *law)
{
    char text[2000];
    int length = snprintf(text, sizeof(text), "at %lld ms, seed %llu: not so: %s",
                          (long long)world_ms(), (unsigned long long)world.seed, law);

    (void)context;
    for (const struct bhi_life *life = world.pool ? world.pool->lives : NULL; life && length < 1900;
         life = life->next)
        length += snprintf(text + length, sizeof(text) - (size_t)length, "; worker %llu %s, %s",
                           (unsigned long long)(life->cookie - first_cookie + 1),
                           bh_worker_state_name(life->state), life->ticket ? "held" : "free");
    FAIL("%s; events: %s", text, world.log);
}

/* ---- the log of events ---- */

static void log_event(void *context, const struct bh_event *event)
{
    size_t length = strlen(world.log);
    size_t room = sizeof(world.log) - length;
    unsigned long long worker = event->cookie ? event->cookie - first_cookie + 1 : 0;
    const char *name = bh_event_name(event->type);

    CHECK(context == &world);
    CHECK_INT(bhf_locks_held(), 0);
    CHECK(event->time_ms > 0);
    if (event->type == BH_EVENT_REFUSED)
        snprintf(world.log + length, room, "refused(%s) ", bh_refusal_name(event->refusal));
    else if (worker && event->type == BH_EVENT_DIED)
        snprintf(world.log + length, room, "died%llu(%s) ", worker,
                 bh_cause_name(event->death->cause));
    else if (worker && event->type == BH_EVENT_RECYCLE)
        snprintf(world.log + length, room, "recycle%llu(%s) ", worker, event->text);
    else if (worker)
        snprintf(world.log + length, room, "%s%llu ", name, worker);
    else
        snprintf(world.log + length, room, "%s(%s) ", name, event->text ? event->text : "");
    if (world.on_event)
        world.on_event(event);
}

/* ---- beginning and end ---- */

/** See world.h. */
void world_begin(uint64_t seed)
{
    static const struct bhf_driver driver = {.wait = on_wait,
                                             .pause = on_pause,
                                             .spawn = on_spawn,
                                             .plan_start = plan_start,
                                             .plan_request = plan_request,
                                             .begun = on_begun,
                                             .broken = on_broken};

    memset(&world, 0, sizeof(world));
    world.seed = random_state = seed;
    if (!threads[0].exists)
        threads[0].turn = kit_gate_new();
    threads[0].exists = threads[0].busy = true;
    bhf_reset(&driver);
}

/** See world.h. */
void world_end(void)
{
    for (size_t i = 0; i < world.call_count; i++) {
        CHECK(world.calls[i].ended || !world.calls[i].sent);
        if (!world.calls[i].freed)
            bh_result_deinit(&world.calls[i].result);
        world.calls[i].freed = true;
    }
    CHECK_STR(bhf_left_over(), NULL);
    if (!world.seed)
        world_leave();
}

/** See world.h. */
int64_t world_ms(void)
{
    return (bhp_now() - BHF_EPOCH) / BHF_MS;
}

/** See world.h. */
void world_until(int64_t ms)
{
    static const bool never = false;
    int64_t until = BHF_EPOCH + ms * BHF_MS;

    while (bhp_now() < until)
        CHECK(on_wait(NULL, &never, until));
}

/** See world.h. */
void world_sleep(int64_t ms)
{
    world_until(world_ms() + ms);
}

/* ---- pools ---- */

/** See world.h. */
struct bh_pool_options world_options(void)
{
    struct bh_pool_options options;

    bh_pool_options_init(&options);
    options.worker = "fake";
    options.max_workers = 1;
    options.on_event = log_event;
    options.event_context = &world;
    return options;
}

/** See world.h. */
bh_pool *world_open(const struct bh_pool_options *options)
{
    struct bh_problem problem = {0};
    bh_pool *pool;

    if (bh_pool_open(&pool, options, &problem))
        FAIL("bh_pool_open: %s", problem.text);
    world.pool = pool;
    return pool;
}

/** See world.h. */
void world_close(bh_pool *pool)
{
    bh_pool_drain(pool);
    world_take(pool, BH_WAIT_FOREVER);
    if (world.pool == pool)
        world.pool = NULL; /* from here on it may be gone at any moment */
    bh_pool_close(pool);
}

/* ---- requests ---- */

static void end_call(struct world_call *call)
{
    CHECK_INT(bhf_locks_held(), 0);
    CHECK(!call->ended);
    call->ended_ms = world_ms();
    call->ended = true;
}

static void on_done(void *context, struct bh_result *result)
{
    struct world_call *call = context;

    call->result = *result;
    end_call(call);
}

/** See world.h. */
void world_take(bh_pool *pool, uint32_t timeout_ms)
{
    struct bh_completion completions[3];
    size_t count;

    while ((count = bh_pool_take(pool, completions, 3, timeout_ms)) > 0)
        for (size_t i = 0; i < count; i++)
            on_done(completions[i].context, &completions[i].result);
}

/* What was refused on the spot has no completion, and no result but this. */
static void submit_call(struct world_call *call)
{
    bh_done_fn done = call->way == WORLD_TOLD ? on_done : NULL;
    enum bh_refusal refusal = bh_pool_submit(call->pool, &call->request, done, call);

    if (!refusal)
        return;
    call->result.outcome = BH_OUTCOME_REFUSED;
    call->result.refusal = refusal;
    end_call(call);
}

static void run_call(void *argument)
{
    static const bool never = false;
    struct world_call *call = argument;
    int64_t until = bhp_now() + call->wait_ms * BHF_MS;

    while (bhp_now() < until)
        CHECK(on_wait(NULL, &never, until));
    if (call->way != WORLD_CALLER) {
        submit_call(call);
        return;
    }
    if (call->session)
        bh_session_call(call->session, &call->request, &call->result);
    else
        bh_pool_call(call->pool, &call->request, &call->result);
    end_call(call);
}

/** See world.h. */
struct world_call *world_prepare(bh_pool *pool, const char *method)
{
    struct world_call *call = &world.calls[world.call_count++];

    CHECK(world.call_count <= WORLD_CALLS);
    *call = (struct world_call){.pool = pool, .request = BH_REQUEST_INIT};
    snprintf(call->method, sizeof(call->method), "%s", method);
    call->argument = bh_value_int64((int64_t)world.call_count);
    call->request.method = call->method;
    call->request.arguments = &call->argument;
    call->request.argument_count = 1;
    return call;
}

/** See world.h. */
struct world_call *world_send(struct world_call *call)
{
    call->sent = true;
    world_spawn(run_call, call);
    return call;
}

/** See world.h. */
struct world_call *world_call(bh_pool *pool, const char *method)
{
    return world_send(world_prepare(pool, method));
}

/** See world.h. */
struct bh_result *world_result(struct world_call *call)
{
    while (!call->ended)
        CHECK(on_wait(NULL, &call->ended, BHP_FOREVER));
    return &call->result;
}

/** See world.h. */
struct bh_result *world_ask(bh_pool *pool, const char *method)
{
    return world_result(world_call(pool, method));
}

/* ---- invariants ---- */

/* Those that wait in a life: behind a ticket, in order, timed unless they are claimed. */
static uint32_t check_slots(const struct bhi_life *life)
{
    const struct bhi_ticket *previous = NULL;
    uint32_t count = 0;

    MUST(!life->slots || life->ticket);
    for (const struct bhi_ticket *ticket = life->slots; ticket; ticket = ticket->next) {
        MUST(ticket->state == BHI_TICKET_SLOTTED && ticket->life == life);
        MUST(ticket->previous == previous);
        MUST(ticket->serial > (previous ? previous : life->ticket)->serial);
        MUST(ticket->serial <= life->serial);
        MUST(ticket->claim || (ticket->due != 0) == (ticket->deadline != BHP_FOREVER));
        previous = ticket;
        count++;
    }
    MUST(life->slots_last == previous || !life->slots);
    MUST(count == life->slot_count);
    MUST(count < bhp_lane_slots());
    return count;
}

static void check_lives(const bh_pool *pool)
{
    uint32_t slotted = 0;
    uint32_t count[BH_WORKER_STATE_COUNT] = {0};
    uint64_t held = 0, living = 0, leased = 0;
    uint32_t most = pool->options.max_workers;

    for (const struct bhi_life *life = pool->lives; life; life = life->next) {
        count[life->state]++;
        slotted += check_slots(life);
        living += life->state != BH_WORKER_DEAD;
        held += life->ticket != NULL;
        MUST(!life->ticket || life->ticket->life == life);
        MUST(!life->ticket || life->ticket->state == BHI_TICKET_LEASED);
        MUST(!life->ticket || life->claim == 0 || life->claim >> 1 == life->ticket->serial);
        MUST(!life->session || life->session->life == life);
        MUST(life->session || life->loan || life->state != BH_WORKER_LEASED);
        MUST(!life->loan || !life->ticket);
        leased += life->session != NULL;
        MUST(life->ticket || (life->state != BH_WORKER_BUSY && life->state != BH_WORKER_STOPPING));
        MUST((life->stop) == (life->state == BH_WORKER_DEAD));
        MUST(life->first_writer <= life->serial);
    }
    for (unsigned i = 0; i < BH_WORKER_STATE_COUNT; i++)
        MUST((count[i]) == (pool->count[i]));
    MUST((slotted) == (pool->slotted));
    MUST((held) == (pool->running));
    MUST((leased) == (pool->session_count));
    if (pool->replacing)
        most += (most + 3) / 4;
    MUST(living <= most);
}

static void check_idle(const bh_pool *pool)
{
    uint32_t count = 0;

    for (const struct bhi_life *life = pool->idle; life; life = life->idle_next) {
        MUST((life->state) == (BH_WORKER_IDLE));
        count++;
    }
    MUST((count) == (pool->count[BH_WORKER_IDLE]));
    MUST(!pool->idle || !pool->queue);
}

static void check_queue(const bh_pool *pool)
{
    const struct bhi_ticket *previous = NULL;
    uint32_t count = 0;
    size_t timed = 0;

    for (const struct bhi_ticket *ticket = pool->queue; ticket; ticket = ticket->next) {
        MUST((ticket->state) == (BHI_TICKET_QUEUED));
        MUST(ticket->previous == previous);
        MUST((ticket->word) == (0));
        MUST((ticket->due != 0) == (ticket->async && ticket->deadline != BHP_FOREVER));
        MUST(ticket->due == 0 || pool->async.due[ticket->due - 1] == ticket);
        timed += ticket->due != 0;
        previous = ticket;
        count++;
    }
    MUST(pool->queue_last == previous);
    MUST((count) == (pool->queued));
    for (const struct bhi_life *life = pool->lives; life; life = life->next)
        for (const struct bhi_ticket *ticket = life->slots; ticket; ticket = ticket->next)
            timed += ticket->due != 0;
    MUST((timed) == (pool->async.due_count));
    MUST((pool->async.taken != NULL) == (bhp_beacon_native(pool->async.beacon) != 0));
}

/** See world.h. */
void world_check(void)
{
    const bh_pool *pool = world.pool;
    uint64_t ended = 0, refused = 0;

    if (bhf_locks_held() > 0)
        return;
    check_lives(pool);
    check_idle(pool);
    check_queue(pool);
    for (unsigned i = 0; i < BH_OUTCOME_COUNT; i++)
        ended += pool->outcomes[i];
    for (unsigned i = 0; i < BH_REFUSAL_COUNT; i++)
        refused += pool->refusals[i];
    MUST((refused) == (pool->outcomes[BH_OUTCOME_REFUSED]));
    MUST((pool->submitted) == (ended + pool->queued + pool->slotted + pool->leaving +
                               pool->running - pool->sessions_waiting));
}
