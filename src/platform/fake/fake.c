/* SPDX-License-Identifier: MIT */
/*
 * The fake platform's world: a clock that a test moves, words and mutexes without threads.
 *
 * Model: one thing runs at a time. Whoever would block hands over to the driver with a flag to wait
 * for; a wake sets the flags of those who wait at that moment and is not remembered, exactly as a
 * futex does, so that a wake that the core forgets is a test that hangs, and the driver sees that.
 * The clock stands still while anything runs.
 *
 * Invariants, insisted upon: nobody blocks with a lock held, so a lock is never contended; a lock
 * is taken and given back in pairs; in a forked child nothing is called but
 * bhp_nursery_forked().
 */
#include "internal.h"

#include "core/alloc.h"

#include <stdlib.h>
#include <string.h>

struct bhf_world bhf_world = {.now = BHF_EPOCH, .processors = 4, .slots = 1};

/** See internal.h. */
void bhf_insist(bool holds, const char *law)
{
    if (holds)
        return;
    if (bhf_world.driver.broken)
        bhf_world.driver.broken(bhf_world.driver.context, law);
    abort();
}

/** See internal.h. */
void bhf_block(const bool *done, int64_t until)
{
    const struct bhf_driver *driver = &bhf_world.driver;

    bhf_insist(bhf_world.locks_held == 0, "nobody blocks with a lock held");
    bhf_insist(driver->wait && driver->wait(driver->context, done, until),
               "what is waited for can happen");
}

/** See internal.h. */
int64_t bhf_after(int64_t from, int64_t ms)
{
    return ms == BHF_NEVER ? BHP_FOREVER : from + ms * BHF_MS;
}

/* ---- the test's side ---- */

/** See fake.h. */
void bhf_reset(const struct bhf_driver *driver)
{
    memset(&bhf_world, 0, sizeof(bhf_world));
    bhf_world.driver = *driver;
    bhf_world.now = BHF_EPOCH;
    bhf_world.processors = 4;
    bhf_world.slots = 1;
}

/* The worker to whom something happens next, or NULL. */
static struct bhp_worker *next_worker(void)
{
    struct bhp_worker *first = NULL;

    for (struct bhp_nursery *nursery = bhf_world.nurseries; nursery; nursery = nursery->next)
        for (struct bhp_worker *worker = nursery->workers; worker; worker = worker->next)
            if (!first || bhf_worker_next(worker) < bhf_worker_next(first))
                first = worker;
    return first && bhf_worker_next(first) != BHP_FOREVER ? first : NULL;
}

/** See fake.h. */
int64_t bhf_next(void)
{
    const struct bhp_worker *worker = next_worker();

    return worker ? bhf_worker_next(worker) : BHP_FOREVER;
}

/** See fake.h. */
void bhf_advance(int64_t until)
{
    struct bhp_worker *worker;

    while ((worker = next_worker()) && bhf_worker_next(worker) <= until) {
        if (bhf_worker_next(worker) > bhf_world.now)
            bhf_world.now = bhf_worker_next(worker);
        bhf_worker_happen(worker);
    }
    if (until > bhf_world.now && until != BHP_FOREVER)
        bhf_world.now = until;
}

/** See fake.h. */
unsigned bhf_locks_held(void)
{
    return bhf_world.locks_held;
}

/** See fake.h. */
unsigned bhf_processes(void)
{
    unsigned count = 0;

    for (struct bhp_nursery *nursery = bhf_world.nurseries; nursery; nursery = nursery->next)
        for (struct bhp_worker *worker = nursery->workers; worker; worker = worker->next)
            count += worker->stage < BHF_GONE;
    return count;
}

/** See fake.h. */
unsigned bhf_trims(void)
{
    return bhf_world.trims;
}

/** See fake.h. */
const char *bhf_left_over(void)
{
    if (bhf_world.nurseries)
        return "a nursery is open";
    if (bhf_world.threads)
        return "a thread was not joined";
    if (bhf_world.beacons)
        return "a beacon was not given back";
    if (bhf_world.locks_held)
        return "a lock is held";
    if (bhf_world.mutexes)
        return "a mutex was not given back";
    if (bhf_world.memories)
        return "shared memory was not given back";
    if (bhf_world.waiters)
        return "somebody waits";
    return NULL;
}

/** See fake.h. */
void bhf_lose_nurseries(void)
{
    struct bhp_obituary end = {.end = BHP_END_UNKNOWN, .nursery_lost = true};

    for (struct bhp_nursery *nursery = bhf_world.nurseries; nursery; nursery = nursery->next) {
        nursery->lost = nursery->stir = true;
        for (struct bhp_worker *worker = nursery->workers; worker; worker = worker->next)
            if (worker->stage < BHF_GONE)
                bhf_worker_end(worker, &end);
    }
}

/** See fake.h. */
void bhf_tell_template(const struct bhp_template_news *news)
{
    for (struct bhp_nursery *nursery = bhf_world.nurseries; nursery; nursery = nursery->next) {
        nursery->news = *news;
        nursery->has_news = nursery->stir = true;
    }
}

/** See fake.h. */
uint64_t bhf_renewals(void)
{
    return bhf_world.nurseries->renewals;
}

/** See fake.h. */
void bhf_refuse_nursery(int code)
{
    bhf_world.refuse_nursery = code;
}

/** See fake.h. */
void bhf_refuse_thread(int code)
{
    bhf_world.refuse_thread = code;
}

/** See fake.h. */
void bhf_fork(bool child)
{
    bhf_world.child = child;
}

/** See fake.h. */
void bhf_set_processors(uint32_t count)
{
    bhf_world.processors = count;
}

/** See fake.h. */
void bhf_set_slots(uint32_t count)
{
    bhf_insist(count >= 1 && count <= BHF_SLOTS, "there are only so many slots");
    bhf_world.slots = count;
}

/* ---- time ---- */

/** See platform.h. */
int64_t bhp_now(void)
{
    return bhf_world.now;
}

/** See platform.h. */
int64_t bhp_utc_ms(void)
{
    return INT64_C(1700000000000) + bhf_world.now / BHF_MS;
}

/** See platform.h. */
uint32_t bhp_processors(void)
{
    return bhf_world.processors;
}

/** See platform.h. */
int64_t bhp_process_id(void)
{
    return 4711;
}

/* ---- words ---- */

/** See internal.h. */
void bhf_waiter_link(struct bhf_waiter *waiter, const bhp_word *word)
{
    waiter->word = word;
    waiter->woken = false;
    waiter->next = bhf_world.waiters;
    bhf_world.waiters = waiter;
}

/** See internal.h. */
void bhf_waiter_unlink(struct bhf_waiter *waiter)
{
    struct bhf_waiter **link = &bhf_world.waiters;

    while (*link != waiter)
        link = &(*link)->next;
    *link = waiter->next;
}

/** See platform.h. */
void bhp_word_wait(bhp_word *word, uint32_t expected, int64_t until)
{
    struct bhf_waiter waiter;

    bhf_insist(bhf_world.locks_held == 0, "nobody waits with a lock held");
    if (atomic_load(word) != expected || bhf_world.now >= until)
        return;
    bhf_waiter_link(&waiter, word);
    bhf_block(&waiter.woken, until);
    bhf_waiter_unlink(&waiter);
}

/** See platform.h. */
void bhp_word_wake(bhp_word *word)
{
    bhf_insist(!bhf_world.child, "a forked child touches nothing");
    for (struct bhf_waiter *waiter = bhf_world.waiters; waiter; waiter = waiter->next)
        if (waiter->word == word)
            waiter->woken = true;
}

/* ---- mutexes ---- */

struct fake_mutex {
    uint32_t magic;
    uint32_t locked;
};
#define MAGIC UINT32_C(0x6d757478)

_Static_assert(sizeof(struct fake_mutex) <= sizeof(bhp_mutex), "a bhp_mutex holds a fake one");

static struct fake_mutex *inside(bhp_mutex *mutex)
{
    return (struct fake_mutex *)(void *)mutex->opaque;
}

/** See platform.h. */
void bhp_mutex_init(bhp_mutex *mutex)
{
    inside(mutex)->magic = MAGIC;
    inside(mutex)->locked = 0;
    bhf_world.mutexes++;
}

/** See platform.h. */
void bhp_mutex_lock(bhp_mutex *mutex)
{
    bhf_insist(!bhf_world.child, "a forked child takes no lock");
    bhf_insist(inside(mutex)->magic == MAGIC, "a mutex is used between its init and its deinit");
    bhf_insist(!inside(mutex)->locked, "no lock is taken twice");
    inside(mutex)->locked = 1;
    bhf_world.locks_held++;
}

/** See platform.h. */
void bhp_mutex_unlock(bhp_mutex *mutex)
{
    bhf_insist(inside(mutex)->magic == MAGIC, "a mutex is used between its init and its deinit");
    bhf_insist(inside(mutex)->locked, "only a lock that is held is given back");
    inside(mutex)->locked = 0;
    bhf_world.locks_held--;
    if (bhf_world.locks_held == 0 && bhf_world.driver.pause)
        bhf_world.driver.pause(bhf_world.driver.context);
}

/** See platform.h. */
void bhp_mutex_deinit(bhp_mutex *mutex)
{
    bhf_insist(inside(mutex)->magic == MAGIC, "a mutex is deinitialised once");
    bhf_insist(!inside(mutex)->locked, "no mutex is deinitialised while it is held");
    inside(mutex)->magic = 0;
    bhf_world.mutexes--;
}

/* ---- threads ---- */

struct bhp_thread {
    void (*body)(void *);
    void *context;
    bool ended;
};

static void run_thread(void *argument)
{
    struct bhp_thread *thread = argument;

    thread->body(thread->context);
    bhf_insist(bhf_world.locks_held == 0, "a thread ends with no lock held");
    thread->ended = true;
}

static _Thread_local const void *own;

/** See platform.h. */
const void *bhp_thread_own(void)
{
    return own;
}

/** See platform.h. */
void bhp_thread_set_own(const void *value)
{
    own = value;
}

/** See platform.h. */
int bhp_thread_start(bhp_thread **out, void (*body)(void *), void *context, const char *name)
{
    struct bhp_thread *thread;
    int refuse = bhf_world.refuse_thread;

    (void)name;
    *out = NULL;
    bhf_world.refuse_thread = 0;
    if (refuse)
        return refuse;
    thread = bhi_alloc(sizeof(*thread));
    if (!thread)
        return BH_E_MEMORY;
    *thread = (struct bhp_thread){body, context, !bhf_world.driver.spawn};
    bhf_world.threads++;
    *out = thread;
    if (bhf_world.driver.spawn)
        bhf_world.driver.spawn(bhf_world.driver.context, run_thread, thread);
    return BH_OK;
}

/** See platform.h. */
void bhp_thread_join(bhp_thread *thread)
{
    if (!thread)
        return;
    while (!thread->ended)
        bhf_block(&thread->ended, BHP_FOREVER);
    bhf_world.threads--;
    bhi_free(thread);
}

/* ---- beacons ---- */

struct bhp_beacon {
    bool raised;
};

/** See platform.h. */
int bhp_beacon_new(bhp_beacon **beacon)
{
    *beacon = bhi_alloc(sizeof(**beacon));
    if (!*beacon)
        return BH_E_MEMORY;
    (*beacon)->raised = false;
    bhf_world.beacons++;
    return BH_OK;
}

/** See platform.h. */
void bhp_beacon_raise(bhp_beacon *beacon)
{
    beacon->raised = true;
}

/** See platform.h. */
void bhp_beacon_clear(bhp_beacon *beacon)
{
    beacon->raised = false;
}

/** See platform.h. Here: whether it is raised. */
intptr_t bhp_beacon_native(const bhp_beacon *beacon)
{
    return beacon->raised;
}

/** See platform.h. */
void bhp_beacon_free(bhp_beacon *beacon)
{
    bhf_world.beacons -= beacon != NULL;
    bhi_free(beacon);
}
