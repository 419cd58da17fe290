/* SPDX-License-Identifier: MIT */
/*
 * The slots of src/platform/linux/protocol.h and what src/core/slots.c does with them, as a model
 * for spin. README.md beside this file says which function mirrors which process; run.sh checks the
 * model and its mutants.
 *
 * What is modelled. A carrier brings REQUESTS small requests to one worker by way of a ring of RING
 * slots; request n has the serial n + 1 and goes into slot n % RING. A canceller takes any of those
 * that wait back. One request may have a deadline, and only then may its handler hang; when it is
 * over, a claimant takes back what is behind it and kills the worker. The worker may die before each
 * of its steps; every wait may return for no reason. There is no second worker: what goes back to
 * the queue, or never left it, has ended for this model.
 *
 * Futexes, death and memory are as in wakeup.pml; futex_waitv is one step here. The pool's lock is a
 * variable, because the worker goes on while somebody holds it.
 *
 * Properties. No invalid end state: no wake-up is lost. Assertions: each request ends once; what was
 * taken back, or given back, or said to have never started has not run and never will; a reply is
 * the one of its request; a message is not overwritten before the worker has read it; a kill hits
 * the request that was claimed or none.
 */

#ifdef MUTANT_slot_of_a_revoked_one_is_reused /* shows in a longer run only */
#define REQUESTS 4
#define NO_CLAIMANT
#endif
#ifndef RING
#define RING 2
#endif
#ifndef REQUESTS
#define REQUESTS 3
#endif
#define SERIAL(n) ((n) + 1)
#define NOBODY REQUESTS

/* ---- shared memory --------------------------------------------------------------------------- */

/* request half */
byte request_bell;
byte slots;         /* ever published */
bool waiting;
byte message[RING]; /* stands for the message: the serial that it belongs to */
byte revoked[RING];
bool quit;

/* reply half */
byte reply_bell;
byte started;
byte committed;
byte reply[RING]; /* stands for the reply: the serial that it belongs to */
bool given_back[RING];

/* ---- private to the dispatcher --------------------------------------------------------------- */

bool locked;
bool stop;
bool closing;
mtype = { QUEUED, SLOTTED, CURRENT, ENDED };
mtype state[REQUESTS];
bool gone[REQUESTS]; /* revoked in time: its slot needs no taking */
byte put;            /* slots ever filled */
byte taken;          /* up to here there is nothing to take any more */

/* ---- the system ------------------------------------------------------------------------------ */

bool alive = true;
bool ended;
bool worker_sleeps;
bool carrier_sleeps;

/* ---- what the properties look at ------------------------------------------------------------- */

byte limited = NOBODY; /* the request with a deadline */
bool hangs;            /* it does */
byte running;          /* serial whose handler runs */
bool ran[REQUESTS];
bool unbegun[REQUESTS];  /* said to have never started */

inline lock()
{
    atomic {
        !locked -> locked = true
    }
}

inline unlock()
{
    locked = false
}

inline wake_worker()
{
    worker_sleeps = false
}

inline wake_carrier()
{
    carrier_sleeps = false
}

inline process_ends()
{
    worker_sleeps = false;
    running = 0;
    alive = false
}

/* A request ends, once. */
inline finish(r)
{
    assert(state[r] != ENDED);
    state[r] = ENDED
}

inline finish_unstarted(r)
{
    assert(!ran[r]);
    unbegun[r] = true;
    finish(r)
}

/* ---- the worker: bhl_worker_slots_serve() ---------------------------------------------------- */

active proctype Worker()
{
    byte bell, n;
    bool back;

    {
        skip;
again:
#ifndef MUTANT_worker_reads_bell_late
        bell = request_bell;
#endif
        if
        :: slots > n
        :: else -> goto idle
        fi;
#ifdef MUTANT_looks_before_it_starts
        back = (revoked[n % RING] == SERIAL(n));
        started = SERIAL(n);
#else
        started = SERIAL(n);
        back = (revoked[n % RING] == SERIAL(n));
#endif
        if
        :: back ->
            given_back[n % RING] = true
        :: else ->
            atomic {
                assert(message[n % RING] == SERIAL(n));
                assert(!unbegun[n] && !ran[n]);
                ran[n] = true;
                running = SERIAL(n)
            };
#ifndef NO_HANGS
            if
            :: hangs && limited == n -> false /* until somebody ends it */
            :: !(hangs && limited == n)
            fi;
#endif
            atomic {
                running = 0;
                given_back[n % RING] = false
            }
        fi;
#ifdef MUTANT_commits_before_the_reply
        committed = SERIAL(n);
        reply[n % RING] = SERIAL(n);
#else
        reply[n % RING] = SERIAL(n);
        committed = SERIAL(n);
#endif
        atomic {
            back = false;
            bell = 0;
            n++
        };
#ifdef MUTANT_looks_for_waiters_before_it_rings
        back = waiting;
        reply_bell++;
#else
        reply_bell++;
        back = waiting;
#endif
        if
        :: back -> back = false; wake_carrier()
        :: else
        fi;
        goto again;
idle:
        if
        :: quit -> goto leave
        :: else
        fi;
#ifdef MUTANT_worker_reads_bell_late
        bell = request_bell;
#endif
        atomic {
            if
            :: request_bell != bell -> goto again
            :: request_bell == bell -> worker_sleeps = true
            :: request_bell == bell -> goto again /* for no reason */
            fi
        };
        !worker_sleeps;
        goto again;
leave:
        atomic {
            process_ends()
        }
    } unless {
        !alive
    };
    ended = true
}

/* ---- the carrier: bhi_slots_run(), bhp_lane_put(), bhp_lane_next() ---------------------------- */

/* Whether the next slot can be filled. */
inline look_for_room()
{
    do
    :: taken < put && gone[taken] -> taken++
    :: else -> break
    od;
#ifdef MUTANT_slot_of_a_revoked_one_is_reused
    room = (put - taken < RING)
#else
    room = (put - taken < RING && (put < RING || committed >= SERIAL(put - RING)))
#endif
}

inline fill()
{
    do
    :: put < REQUESTS && !stop ->
        atomic {
            look_for_room()
        };
        if
        :: room ->
            room = false;
#ifdef MUTANT_slot_after_its_number
            slots = put + 1;
            message[put % RING] = SERIAL(put);
#else
            message[put % RING] = SERIAL(put);
            slots = put + 1;
#endif
            d_step {
                state[put] = SLOTTED;
                put++
            }
        :: else -> break
        fi
    :: else -> break
    od
}

inline ring_for_them()
{
    if
    :: rung != put ->
#ifndef MUTANT_no_bell_for_a_put
        request_bell++;
#endif
        atomic {
            rung = put;
            wake_worker()
        }
    :: else
    fi
}

inline await_end()
{
    do
    ::
        bell = reply_bell;
        over = stop;
#ifdef MUTANT_takes_only_the_last
        if
        :: committed == SERIAL(c) -> found = true; break
        :: else
        fi;
#else
        if
        :: committed >= SERIAL(c) -> found = true; break
        :: else
        fi;
#endif
        if
        :: over -> found = false; break
        :: else
        fi;
#ifndef MUTANT_never_says_that_it_waits
        waiting = true;
#endif
        atomic {
            if
            :: reply_bell != bell || stop
            :: reply_bell == bell && !stop -> carrier_sleeps = true
            :: reply_bell == bell && !stop /* for no reason */
            fi
        };
        !carrier_sleeps;
        atomic {
            waiting = false;
            bell = 0
        }
    od;
    atomic {
        bell = 0;
        over = false
    }
}

inline conclude()
{
    d_step {
    if
    :: found ->
        assert(reply[c % RING] == SERIAL(c));
        if
        :: given_back[c % RING] ->
            assert(revoked[c % RING] == SERIAL(c));
            finish_unstarted(c)
        :: else ->
            assert(ran[c]);
            finish(c)
        fi
    :: else -> /* the box is final */
        if
        :: started == SERIAL(c) -> finish(c) /* died, and charged: when in doubt it is started */
        :: started != SERIAL(c) -> finish_unstarted(c)
        fi
    fi;
    taken = c + 1;
    found = false
    }
}

active proctype Carrier()
{
    byte c, bell, rung;
    bool room, found, over;

    lock();
    do
    ::
        fill();
        /* The oldest one in the slots becomes the current one. */
        atomic {
            do
            :: c < put && state[c] == ENDED -> c++
            :: else -> break
            od
        };
        if
        :: c == put -> /* the slot of the latest that was taken is free: there always is room */
            assert(put == REQUESTS || stop);
            break
        :: else ->
            state[c] = CURRENT;
            unlock();
            ring_for_them();
            await_end();
            lock();
            conclude()
        fi
    od;
    do
    :: put < REQUESTS -> finish_unstarted(put); put++ /* never left the queue */
    :: else -> break
    od;
    closing = true;
    unlock()
}

/* ---- taking back: bhi_slots_claim(), bhp_lane_revoke() ---------------------------------------- */

/* With the lock held. */
inline revoke(r)
{
#ifdef MUTANT_looks_before_it_revokes
    early = (started < SERIAL(r));
    revoked[r % RING] = SERIAL(r);
#else
    revoked[r % RING] = SERIAL(r);
    early = (started < SERIAL(r));
#endif
    d_step {
        if
        :: early ->
            gone[r] = true;
            finish_unstarted(r)
        :: else
        fi
    }
}

#ifndef NO_CANCELLER
active proctype Canceller()
{
    byte n;
    bool early;

    do
    :: n < REQUESTS ->
        if
        :: state[n] == SLOTTED ->
            lock();
            if
            :: state[n] == SLOTTED -> revoke(n)
            :: else
            fi;
            unlock()
        :: true
        fi;
        d_step {
            early = false;
            n++
        }
    :: else -> break
    od
}

#endif

/* bhi_queue_claim(), bhi_slots_take_back(), bhi_slots_spare() and the kill. */
#ifndef NO_CLAIMANT
active proctype Claimant()
{
    byte n;
    bool early, late;

    if
    :: limited = 0
    :: limited = 1; hangs = true
    :: limited = 0; hangs = true
    :: goto done
    fi;
    do
    :: closing -> break
    :: state[limited] == ENDED -> break
    :: state[limited] == CURRENT ->
        lock();
        if
        :: state[limited] == CURRENT
        :: else -> unlock(); break
        fi;
        n = limited + 1;
        late = false;
#ifndef MUTANT_kills_with_others_behind
        do
        :: n < put ->
            if
            :: state[n] == SLOTTED ->
                revoke(n);
                d_step {
                    late = late || !early;
                    early = false
                }
            :: else
            fi;
            n++
        :: else -> break
        od;
#endif
        unlock();
        lock(); /* the grace is over */
        if
        :: state[limited] == CURRENT && !late ->
            atomic {
                assert(running == 0 || running == SERIAL(limited));
                process_ends()
            }
        :: else /* it has come back with it, or is about to be heard of */
        fi;
        unlock();
        break
    od;
done:
    skip
}
#endif

/* ---- the supervisor, and what may go wrong ---------------------------------------------------- */

active proctype Supervisor()
{
    bool asked;

    do
    :: ended && !stop ->
#ifdef MUTANT_stop_silent
        stop = true
#else
        atomic { stop = true; wake_carrier() }
#endif
    :: stop && closing -> break
    :: closing && !stop && !asked ->
        asked = true;
        quit = true;
        request_bell++;
        wake_worker()
    od
}

active proctype Mishaps()
{
    if
    :: atomic { alive -> process_ends() }
    :: true
    fi
}
