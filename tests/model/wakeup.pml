/* SPDX-License-Identifier: MIT */
/*
 * The wake-up protocol of src/platform/linux/protocol.h and the claim protocol of the pool, as a
 * model for spin. README.md beside this file says which function mirrors which process; run.sh
 * checks the model and its mutants.
 *
 * What is modelled. One caller sends two requests, one after the other, to a pool that keeps one
 * worker at a time: when a life has ended, the slot gets another, LIVES in all. A request that
 * provably never started goes back and gets a new serial. A worker may die before each of its
 * steps, it may ring for nothing, it may be told to quit at any moment, and every wait may return
 * for no reason. A request may have a deadline; only then may its handler hang, so that nothing but
 * the protocol itself can save a caller whose wake-up was lost.
 *
 * Futexes. `wait` compares the word and goes to sleep in one step; `wake` wakes whoever sleeps on
 * that word at that moment and is not remembered. futex_waitv looks at its words one after the
 * other, and is on the queue of the first when it looks at the second. A sleeper that is woken for
 * no reason is one that never slept but was slow to come back, so a wait may return at once.
 *
 * Death. The system ends a process in one step, between two steps of the process. A kill that is
 * delivered late is a kill that was sent late.
 *
 * Memory is sequentially consistent here: each step is one load, one store or one system call. The
 * code's acquire and release operations must provide that order; the model cannot check them.
 *
 * Properties. No invalid end state: everybody comes to his end, so no wake-up is lost. No cycle
 * without progress, where progress is a mishap from outside: nobody spins. Assertions: each request
 * has exactly one outcome; no reply is taken for another serial; a claim hits the request that was
 * due and no other; `never started` is said only of a request whose handler never ran and never
 * will; a handler runs at most once per request; a reply that was committed before the worker's
 * death is found.
 */

#ifndef LIVES
#define LIVES 2
#endif
#ifndef RINGS
#define RINGS 1 /* bells for nothing, in all */
#endif
#define REQUESTS 2
#define SERIALS (REQUESTS + LIVES + 1) /* one for each attempt, from 1; 0 is none */

/* ---- shared memory of the life in the slot --------------------------------------------------- */

/* request half: written by the dispatcher */
byte request_bell;
byte request_serial;
byte message; /* stands for method and arguments: the serial that they belong to */
byte cancel;  /* the serial that should give up */
bool quit;

/* reply half: written by the worker */
byte reply_bell;
byte started;
byte committed;
byte reply; /* stands for the reply: the serial that it belongs to */

/* ---- private to the dispatcher --------------------------------------------------------------- */

bool stop;
bool gone = true; /* no worker in the slot, or its end was noticed: no lease any more */

/* The claim word of the slot: what its lease is, and for which serial. One word, one step. */
mtype = { VACANT, RUNNING, CLAIMED, ENDED };
mtype lease = VACANT;
byte lease_serial;
bool condemned; /* the life was killed: it serves no more */

byte serials; /* the last one given out */
byte lives;   /* begun so far */
bool exhausted; /* there will never be a worker again */
bool closing;

/* ---- the system ------------------------------------------------------------------------------ */

bool alive;         /* the process runs */
bool ended;         /* it can be reaped; what it shared is final */
bool worker_sleeps; /* on the request bell */
bool caller_on_bell; /* the caller is on the queue of the reply bell */
bool caller_on_stop; /* … and of the stop word */
bool caller_woken;

/* ---- what the properties look at ------------------------------------------------------------- */

bool limited;            /* the request at hand has a deadline */
byte outcomes[REQUESTS]; /* how many it got */
byte request_of[SERIALS];
bool overdue[SERIALS];   /* its deadline has passed, or it was cancelled */
bool written_off[SERIALS]; /* the caller said: never started */
bool ran;                /* the handler of the request at hand began */

/* ---- futexes --------------------------------------------------------------------------------- */

inline wake_worker()
{
    worker_sleeps = false
}

inline wake_caller_by_bell()
{
    atomic {
        if
        :: caller_on_bell -> caller_woken = true
        :: else
        fi
    }
}

inline wake_caller_by_stop()
{
    atomic {
        if
        :: caller_on_stop -> caller_woken = true
        :: else
        fi
    }
}

inline process_ends()
{
    alive = false;
    worker_sleeps = false
}

/* ---- the worker ------------------------------------------------------------------------------ */

proctype Worker()
{
    byte bell, serial, last;

    {
        skip;
again:
#ifdef MUTANT_worker_reads_bell_late
        serial = request_serial;
        bell = request_bell;
#else
#ifndef MUTANT_spin_on_old_bell
        bell = request_bell;
#endif
        serial = request_serial;
#endif
        if
#ifdef MUTANT_takes_on_every_ring
        :: serial != 0 ->
#else
        :: serial != last ->
#endif
            last = serial;
            assert(message == serial);
#ifndef MUTANT_started_late
            started = serial;
#endif
            d_step {
                assert(!written_off[serial]);
                assert(!ran);
                ran = true;
                bell = 0
            };
            if
            :: true /* the handler returns */
#ifdef MUTANT_cancel_without_serial
            :: cancel != 0 -> assert(overdue[serial]) /* it gives up when it is asked to */
#else
            :: cancel == serial -> assert(overdue[serial])
#endif
            :: limited -> false /* it hangs */
            fi;
#ifdef MUTANT_started_late
            started = serial;
#endif
#ifdef MUTANT_committed_before_reply
            committed = serial;
            reply = serial;
#else
            reply = serial;
#ifndef MUTANT_ring_before_committed
            committed = serial;
#endif
#endif
            reply_bell++;
#ifndef MUTANT_no_wake
            wake_caller_by_bell();
#endif
#ifdef MUTANT_ring_before_committed
            committed = serial;
#endif
            goto again
        :: else
        fi;
        if
        :: quit -> goto leave
        :: else
        fi;
        atomic {
            if
            :: request_bell != bell -> goto again
            :: request_bell == bell -> worker_sleeps = true
            :: request_bell == bell -> goto progress_woken_for_nothing
            fi
        };
        !worker_sleeps;
        goto again;
progress_woken_for_nothing:
        goto again;
leave:
        atomic { process_ends() }
    } unless {
        !alive
    };
    ended = true
}

/* ---- the caller ------------------------------------------------------------------------------ */

/* bhp_lane_call(): publishes `serial` to the worker and waits. found: a reply came. */
inline lane_call()
{
#ifdef MUTANT_serial_before_message
    request_serial = serial;
    message = serial;
    request_bell++;
#else
    message = serial;
#ifdef MUTANT_bell_before_serial
    request_bell++;
    request_serial = serial;
#else
    request_serial = serial;
    request_bell++;
#endif
#endif
#ifndef MUTANT_worker_not_woken
    wake_worker();
#endif

    do
    ::
#ifndef MUTANT_caller_reads_bell_late
        bell = reply_bell;
#endif
        if
#ifdef MUTANT_takes_any_reply
        :: committed != 0 ->
#else
        :: committed == serial ->
#endif
            found = true;
            break
        :: else
        fi;
        if
        :: stop ->
#ifdef MUTANT_no_last_look
            found = false;
#else
            found = (committed == serial);
#endif
            break
        :: else
        fi;
#ifdef MUTANT_caller_reads_bell_late
        bell = reply_bell;
#endif
        /* futex_waitv */
        atomic {
            if
            :: reply_bell != bell -> goto awake
            :: reply_bell == bell -> caller_on_bell = true
            :: reply_bell == bell -> goto progress_woken_for_nothing
            fi
        };
#ifndef MUTANT_waits_on_bell_only
        atomic {
            if
            :: !stop -> caller_on_stop = true
            :: else -> goto awake
            fi
        };
#endif
        caller_woken;
        goto awake;
progress_woken_for_nothing:
        skip;
awake:
        atomic {
            bell = 0;
            caller_on_bell = false;
            caller_on_stop = false;
            caller_woken = false
        }
    od
}

/* The attempt is over: forget what only its life could still get wrong. */
inline forget(s)
{
    d_step {
        overdue[s] = false;
        request_of[s] = 0
    }
}

active proctype Caller()
{
    byte r, serial, bell;
    bool found, again;

    do
    :: r == REQUESTS -> break
    :: else ->
        if
        :: limited = true
        :: limited = false
        fi;
send:
        if
        :: atomic {
            lease == VACANT && !gone ->
                serials++;
                serial = serials;
                request_of[serial] = r;
                lease = RUNNING;
                lease_serial = serial
        }
        :: exhausted -> outcomes[r]++; /* refused */ goto next
        fi;

        lane_call();

        if
        :: found -> assert(reply == serial)
        :: else -> assert(committed != serial)
        fi;

        /* Whose is the outcome? A compare-and-swap, RUNNING to ENDED, with the pool's lock held. */
        atomic {
            bell = 0;
            if
#ifdef MUTANT_ends_without_cas
            :: true -> lease = ENDED
#else
            :: lease == RUNNING -> lease = ENDED
            :: else ->
                assert(lease == CLAIMED && lease_serial == serial);
                assert(overdue[serial]);
                if
                :: found && !condemned -> forget(serial); lease = VACANT; goto next
                :: else -> goto wait_for_its_end
                fi
#endif
            fi
        };
        if
        :: found ->
            outcomes[r]++; /* replied */
            forget(serial);
            lease = VACANT;
            goto next
        :: else
        fi;
        /* Lost, and the box is final: it says whether the handler may have run. */
#ifdef MUTANT_requeues_what_started
        again = true;
#else
        again = (started != serial);
#endif
        d_step {
            assert(!again || !ran);
            written_off[serial] = again
        };
        forget(serial);
        lease = VACANT;
        if
        :: again -> goto send
        :: else -> outcomes[r]++ /* died */
        fi;
        goto next;
wait_for_its_end:
        /* Claimed, and the worker is dead or dying: deadline, with its delivery from the box. */
        stop;
        d_step {
            assert(started == serial || !ran);
            written_off[serial] = (started != serial)
        };
        forget(serial);
        lease = VACANT;
next:
        atomic {
            ran = false;
            limited = false;
            found = false;
            again = false;
            serial = 0;
            r++
        }
    od;
    assert(outcomes[0] == 1 && outcomes[1] == 1);
    closing = true
}

/* ---- deadline and cancel: whoever claims ----------------------------------------------------- */

active proctype Claimant()
{
    byte due;

watch:
    do
    :: atomic {
        lease == RUNNING && limited && !overdue[lease_serial] ->
            due = lease_serial;
            overdue[due] = true
    };
        /* By now the request may be over, and the worker busy with the next one. Now the lock is
         * held; the worker, who cannot know, sees the flag. */
        atomic {
            if
#ifdef MUTANT_claim_without_serial
            :: lease == RUNNING ->
#else
            :: lease == RUNNING && lease_serial == due ->
#endif
                lease = CLAIMED;
                outcomes[request_of[lease_serial]]++; /* deadline, or cancelled */
                cancel = due
            :: else -> overdue[due] = false; due = 0; goto watch
            fi
        };
        /* The grace is over, and the lock is held again. Is it still the same request? */
        atomic {
#ifndef MUTANT_kills_without_look
            if
            :: lease == CLAIMED && lease_serial == due
            :: else -> due = 0; goto watch
            fi;
#endif
#ifdef MUTANT_kills_outside_the_lock
        };
        atomic {
#endif
            assert(lease == CLAIMED && lease_serial == due); /* the kill hits who was meant */
            condemned = true;
#ifdef MUTANT_stop_before_end
            stop = true;
            wake_caller_by_stop()
        };
        atomic {
#endif
            process_ends()
        };
        due = 0
    :: closing -> break
    od
}

/* ---- the supervisor -------------------------------------------------------------------------- */

inline notice_end()
{
    /* EXITED: the process has ended, its box is final. */
    gone = true;
    stop = true;
#ifndef MUTANT_stop_silent
    wake_caller_by_stop()
#endif
}

inline ask_to_quit()
{
#ifdef MUTANT_bell_before_quit
    request_bell++;
    quit = true;
#else
    quit = true;
    request_bell++;
#endif
    wake_worker()
}

inline next_life()
{
    d_step {
        request_bell = 0;
        request_serial = 0;
        message = 0;
        cancel = 0;
        quit = false;
        reply_bell = 0;
        started = 0;
        committed = 0;
        reply = 0;
        stop = false;
        gone = false;
        condemned = false;
        ended = false;
        written_off[lease_serial] = false;
        lease_serial = 0;
        alive = true;
        lives++
    };
    run Worker()
}

active proctype Supervisor()
{
    bool asked;

    do
    :: ended && !gone -> notice_end()
    :: gone && closing -> break
    :: atomic { gone && !closing && lives < LIVES && lease == VACANT ->
        next_life()
    }
    :: gone && !closing && lives == LIVES -> exhausted = true; break
    :: closing && !gone && !asked -> asked = true; ask_to_quit()
    od
}

/* ---- everything that may go wrong, until it stops going wrong -------------------------------- */

active proctype Mishaps()
{
    byte rings;

    do
    :: atomic { alive -> process_ends() } /* a crash */
    :: atomic { alive && rings < RINGS -> rings++; reply_bell++ }; wake_caller_by_bell()
    :: atomic { alive && !quit -> quit = true; request_bell++ }; wake_worker()
    :: break
    od
}
