/* SPDX-License-Identifier: MIT */
/**
 * @file world.h
 * A world for pools: the fake platform, a virtual clock, and threads of which exactly one runs at a
 * time, so that whatever happens happens again.
 *
 * The test itself is one thread, the supervisor of each pool another, each world_call() one more.
 * A thread runs until it blocks in the platform; then the next one runs that can; when none can,
 * the clock moves to the next thing due. With a seed, another thread may also come in wherever the
 * core holds no lock, waits may end for no reason, and time may pass although somebody could run.
 * At each change of threads the pool's own invariants are checked.
 */
#ifndef WORLD_H
#define WORLD_H

#include "check.h"

#include <bulkhead/async.h>
#include <bulkhead/session.h>

#include "core/platform.h"
#include "platform/fake/fake.h"

/** Who waits for a request's end. */
enum world_way {
    WORLD_CALLER, /* bh_pool_call() on a thread of its own */
    WORLD_TOLD,   /* nobody: bh_pool_submit() with a callback */
    WORLD_TAKEN   /* nobody: bh_pool_submit(), and world_take() */
};

/** A request. */
struct world_call {
    bh_pool *pool;
    struct bh_request request;
    struct bh_result result; /* valid once `ended`; freed by world_end() */
    char method[64];
    bh_value argument;
    enum world_way way;
    int64_t wait_ms;     /* it is sent that much later */
    int64_t ended_ms;    /* world_ms() at its end */
    unsigned begun;      /* how often a worker began it */
    uint64_t cookie;     /* of the last it was sent to */
    bh_session *session; /* by whose worker; NULL: any */
    bool sent;
    bool ended;
    bool freed;
};

#define WORLD_CALLS 64

/** What a test may set after world_begin(). */
struct world {
    /** Changes the plan of the nth start; NULL: every worker is healthy. */
    void (*on_start)(uint64_t nth, struct bhf_start *plan);
    /** Changes the plan of a request, which was made from the method's name: see world.c. */
    void (*on_request)(const struct bhp_call *call, struct bhf_request *plan);
    /** Sees each event, in the thread that emits it. */
    void (*on_event)(const struct bh_event *event);
    bh_pool *pool; /* whose invariants are checked; NULL: none */
    uint64_t seed; /* 0: nothing is random */
    struct world_call calls[WORLD_CALLS];
    size_t call_count;
    unsigned most_processes; /* that there ever were */
    uint64_t switches;
    uint64_t switched_at; /* `switches` when the clock moved last */
    char log[16384];      /* the events since world_begin(), a word each */
};
extern struct world world;

/** A new world; the clock shows 0 ms. @param seed 0: threads take turns in a fixed order */
void world_begin(uint64_t seed);
/** Checks that nothing is left over. */
void world_end(void);
/** Ends the threads, after the last world of a test. */
void world_leave(void);

/** Milliseconds since world_begin(). */
int64_t world_ms(void);
/** Lets the others go on for that long, or until a time. */
void world_sleep(int64_t ms);
void world_until(int64_t ms);

/** Options with the fake's worker and the world's event sink, for one worker. */
struct bh_pool_options world_options(void);
/** Opens a pool and has its invariants checked. A failure fails the test. */
bh_pool *world_open(const struct bh_pool_options *options);
/** Drains, takes what there is to take, and closes. */
void world_close(bh_pool *pool);

/** A request that waits to be sent: the test may change it. */
struct world_call *world_prepare(bh_pool *pool, const char *method);
/** Sends it. @return call */
struct world_call *world_send(struct world_call *call);
/** Both at once. */
struct world_call *world_call(bh_pool *pool, const char *method);
/** Waits for its end. @return its result */
struct bh_result *world_result(struct world_call *call);
/** Takes completions until none lies there and, unless the time is over, none can come. */
void world_take(bh_pool *pool, uint32_t timeout_ms);
/** All of that: the result of a request that is sent now. */
struct bh_result *world_ask(bh_pool *pool, const char *method);

/** Runs a function on a thread of its own, now. */
void world_spawn(void (*run)(void *argument), void *argument);

/** A check that says which world it was, when, and what had happened. */
#define MUST(condition)                                                                            \
    ((condition) ? (void)0                                                                         \
                 : FAIL("seed %llu at %lld ms: %s; events: %s", (unsigned long long)world.seed,    \
                        (long long)world_ms(), #condition, world.log))

/** Checks the invariants of world.pool. */
void world_check(void);

/** A random number below `bound`, of the world's seed. */
uint32_t world_random(uint32_t bound);

#endif
