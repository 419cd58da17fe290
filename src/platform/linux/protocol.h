/* SPDX-License-Identifier: MIT */
/**
 * @file protocol.h
 * What dispatcher, launcher and worker say to each other on Linux: the layout of the two shared
 * halves, the wake-up protocol, and the messages on the sockets. The only header that all three
 * include; it needs nothing but libc.
 *
 * The halves. Each worker has two memory files. The *request half* is written by the dispatcher and
 * mapped read-only by the worker (seals SHRINK, GROW, FUTURE_WRITE, SEAL). The *reply half* is
 * written by the worker and mapped read-only by the dispatcher (seals SHRINK, GROW, SEAL);
 * everything in it is hostile input. Both have one page of header, then `bytes - BHL_HEADER_BYTES`
 * bytes of data.
 *
 * The wake-up protocol (checked as a model in tests/model/). One request at a time:
 *
 *   dispatcher, publishing             worker
 *     message = …                        loop:
 *     serial  = s         (release)        b = bell                        (acquire)
 *     bell   += 1         (release)        if serial != last: take it
 *     wake(bell)                           else if quit: leave
 *                                          else wait(bell == b)
 *                                        started = serial                  (release)
 *                                        … the handler runs …
 *   dispatcher, waiting                  reply = …
 *     loop:                              committed = serial                (release)
 *       b = reply.bell    (acquire)      reply.bell += 1                   (release)
 *       if committed == s: take reply    wake(reply.bell)
 *       if stop != 0: look once more at committed, then lost
 *       wait(reply.bell == b && stop == 0)         (futex_waitv)
 *
 * Callbacks. A request with `callbacks` != 0 is a conversation: from then on the two sides speak in
 * turns, the worker first, until it commits. A turn is a struct bhl_turn and a piece of payload in
 * the speaker's own half; its number is stored last, in `turn`, then the speaker's bell is rung, as
 * for a serial. The numbers of each side ascend by one over the worker's life; each turn says its
 * request's serial.
 *
 *   worker:     CALLBACK (name and arguments), or the answer to a CALL: REPLIED, FAILED, REFUSED
 *   dispatcher: CALL (a method's arguments), or the answer to a CALLBACK: REPLIED, FAILED, REFUSED
 *
 * They nest like brackets: a CALL answers no CALLBACK, it comes before the answer, and so on, down
 * to `callbacks` CALLBACKs. A payload that does not fit into the speaker's room goes in pieces: the
 * listener says MORE after each but the last, the speaker goes on with a PIECE. The speaker may
 * write to its room again when the other has spoken.
 *
 * The room: the worker's is the upper half of its data, so that a reply that it makes without
 * waiting for the answer has the lower one; the dispatcher's is what the request's arguments have
 * left of its data, or `aside` where that is less.
 *
 * Once its request is cancelled a worker need not wait for a turn: it may commit instead, and the
 * dispatcher, which looks for that before it looks for a turn, then has nothing more to say. What
 * was said last is of no interest to anybody: both sides remember the numbers of the other's turns
 * anew with each request. (A turn that a worker says after its commit is a fault; the dispatcher
 * passes over one such in the next request.)
 *
 * Partial replies (core/partial_words.h). Behind its `reply_bytes` the reply half's file has two
 * places of `partial_bytes` for them, of which the dispatcher promises no page: the worker sees to
 * it that they are there before it first writes, the dispatcher before it reads, which it does only
 * when an attempt has ended without an answer. No bell.
 *
 * `stop` is a private word of the dispatcher that no worker can touch: the supervisor sets and
 * wakes it when the worker has ended. Each waiter reads the bell *before* it looks at what the bell
 * announces, and every announcer changes that first and the bell after it: so a wake-up cannot be
 * lost. A side never wakes on a word that it cannot change.
 *
 * The slots (checked as a model in tests/model/slots.pml). Small requests may wait in the worker's
 * half, BHL_SLOTS of them at most, in a ring: slot number n, counted from 0, is n % BHL_SLOTS. They
 * and a single request never run at the same time, so that the slots' bytes are the first of the
 * half's data. The worker takes the slots before it looks at `serial`.
 *
 *   dispatcher, publishing n           worker, at n (its own count)
 *     slot[n] = …                        loop:
 *     slots  = n + 1      (release)        b = bell                        (acquire)
 *     bell  += 1, wake(bell)               if slots > n: take slot n
 *       (once for several slots)           else …, wait(bell == b)
 *                                        started = slot[n].serial          (seq_cst)
 *   dispatcher, taking n back            if slot[n].revoked == serial:     (seq_cst)
 *     slot[n].revoked = serial (seq_cst)   reply[n] = given back
 *     if started < serial: (seq_cst)     else the handler runs, reply[n] = …
 *       it never starts                  committed = serial                (release)
 *     else it has, or gives it back      bell += 1                         (seq_cst)
 *   dispatcher, waiting for n            if waiting: wake(bell)            (seq_cst)
 *     loop:
 *       b = reply.bell    (acquire)
 *       if committed >= serial: take reply[n]
 *       if stop != 0: …
 *       waiting = 1       (seq_cst)
 *       wait(reply.bell == b && stop == 0), waiting = 0
 *
 * A reply that does not fit into its slot is where a single request's would be (BHL_OUTSIDE), all
 * of it in a segment: the worker goes on when `fetched` says its serial, of which the bell tells.
 *
 * Serials ascend, so `committed` says that every slot up to its serial is done, and a slot is free
 * when it is done and its reply was taken. Taking back is Dekker's algorithm: each side writes its
 * word before it reads the other's, so that at least one of them sees the other.
 */
#ifndef BHL_PROTOCOL_H
#define BHL_PROTOCOL_H

#include "core/partial_words.h"

#include <stdatomic.h>
#include <stdint.h>

/** Raised whenever anything in this file changes its meaning. */
#define BHL_VERSION 2u
#define BHL_MAGIC 0x4b4c4842u /* "BHLK" */

#define BHL_HEADER_BYTES 4096u
#define BHL_ASIDE_BYTES 2048u
#define BHL_REGISTERS_MAX 40u

/** Slots in a lane, and the bytes of each one's message, in either half. The smallest lane of all
 * has room for them. */
#define BHL_SLOTS 32u
#define BHL_SLOT_BYTES 512u

/** Descriptors that a worker finds open besides 0 (null device), 1 and 2 (the output pipe). */
enum { BHL_FD_REQUEST = 3, BHL_FD_REPLY = 4, BHL_FD_CONTROL = 5 };
/** A template finds its socket to the launcher where a worker has its control socket, so that what
 * init() opens gets the same numbers in both. At 3 and 4 it finds the null device. */
enum { BHL_FD_TEMPLATE = BHL_FD_CONTROL };

/** Descriptors that the launcher finds open (0, 1, 2 are the null device). */
enum { BHL_FD_SOCKET = 3, BHL_FD_DISPATCHER = 4, BHL_FD_SPEC = 5 };

/** The last argument on a worker's command line, which shows what the process is:
 * "--bulkhead=POOL,COOKIE,DISPATCHER_PID" with POOL free of commas and control characters. */
#define BHL_ARGUMENT "--bulkhead="
/** In a worker's environment: its cookie, in decimal. By it the launcher tells whose orphan a stray
 * is. */
#define BHL_ENVIRONMENT "BULKHEAD_COOKIE"
/** A template has cookie 0, in both places written with this many digits: the workers forked from
 * it write their own over them. */
#define BHL_COOKIE_DIGITS 20

/** What a turn is. */
enum bhl_turn_kind {
    BHL_TURN_CALLBACK = 1, /* payload: a string, the name, then the arguments */
    BHL_TURN_CALL,         /* payload: the arguments */
    BHL_TURN_REPLIED,      /* payload: one value */
    BHL_TURN_FAILED,       /* `code` is the answerer's own; payload: UTF-8 text */
    BHL_TURN_REFUSED,      /* there is no answer: `code` is an enum bh_error; payload: UTF-8 text */
    BHL_TURN_MORE,         /* no payload */
    BHL_TURN_PIECE         /* the next piece of what is being said */
};

/** A turn of a conversation. */
struct bhl_turn {
    uint64_t serial; /* of the request */
    uint32_t kind;   /* enum bhl_turn_kind */
    uint32_t depth;  /* CALLBACK: how many are under way, this one included */
    uint32_t method; /* CALL: index into the worker's table */
    int32_t code;
    uint64_t length; /* bytes of the whole payload; PIECE: the same */
    uint64_t piece;  /* of which this turn has so many */
    uint64_t at;     /* from the beginning of the speaker's half; a multiple of 8 */
};

/** Head of a slot, of a request. Its message is at n % BHL_SLOTS * BHL_SLOT_BYTES of the data. */
struct bhl_request_slot {
    uint64_t serial;
    _Atomic uint64_t revoked; /* the serial, once it shall not be started any more */
    uint32_t method;          /* index into the worker's table */
    uint32_t length;          /* bytes of arguments in wire form */
};

/** Header of the request half. */
struct bhl_request_half {
    /* fixed before the worker starts */
    uint32_t magic;
    uint32_t version;
    uint64_t bytes;       /* of this half, header included */
    uint64_t reply_bytes; /* of the other half */
    uint64_t cookie;
    uint64_t max_request_bytes;
    uint64_t max_reply_bytes;
    uint32_t rearm; /* put fault handlers back before each request */
    uint32_t reserved;
    uint64_t partial_bytes;     /* of one place for partial replies: whole pages; 0: none */
    uint64_t max_partial_bytes; /* of which this many may be used */
    /* signals */
    _Alignas(64) _Atomic uint32_t bell; /* futex: raised after anything below changed */
    _Atomic uint32_t quit;              /* leave when nothing is at hand */
    _Atomic uint64_t cancel;            /* this serial should give up */
    /* Memory that nobody needs any more; the worker lets go of it when the bell rings or with the
     * next request. Each names all up to this number. */
    _Atomic uint64_t segment_dropped; /* of the dispatcher's segments */
    _Atomic uint64_t buffer_dropped;  /* of the dispatcher's buffers */
    _Atomic uint64_t reply_dropped;   /* of the worker's own segments */
    /* the message; stable from the bell until `committed` says its serial */
    _Alignas(64) _Atomic uint64_t serial;
    uint32_t method;    /* index into the worker's table */
    uint32_t transient; /* 1: unmap the segment after this request */
    uint64_t length;    /* bytes of arguments in wire form: a sequence of values */
    uint64_t segment;   /* 0: they are in this half's data; else the id of a blob segment: the one
                           of an earlier request, or one that came by control since. The worker
                           keeps only the last that a request named, unless it was transient */
    uint64_t segment_bytes; /* size of that segment */
    uint64_t buffer;       /* 0: every payload is in the message; else the id of the buffer in which
                              the others lie: it comes by control as segments do, and is kept */
    uint64_t buffer_bytes; /* size of that buffer */
    uint32_t callbacks;    /* how deep the handler may call back; 0: not at all */
    uint32_t reserved_too;
    /* the dispatcher's turn */
    _Alignas(64) _Atomic uint64_t turn; /* its number */
    struct bhl_turn said;
    _Alignas(64) unsigned char aside[BHL_ASIDE_BYTES];
    /* the slots */
    _Alignas(64) _Atomic uint64_t slots; /* ever published */
    _Atomic uint64_t fetched;            /* the reply to this serial, which did not fit into its
                                            slot, has been read */
    _Atomic uint32_t waiting;            /* somebody sleeps, or is about to, until one is done */
    _Alignas(64) struct bhl_request_slot slot[BHL_SLOTS];
};

/** `place` of a message that is not in a segment. */
#define BHL_IN_HALF UINT64_MAX

/** How a reply came out. The last two are for a slot alone: it was taken back in time; its reply is
 * where that of a single request would be. */
enum bhl_status { BHL_REPLIED = 1, BHL_FAILED = 2, BHL_GIVEN_BACK = 3, BHL_OUTSIDE = 4 };

/** Head of a slot, of a reply. A value or a text in the half is where the request's message is. */
struct bhl_reply_slot {
    uint64_t serial;
    uint32_t status; /* enum bhl_status */
    int32_t code;
    uint64_t length;
};

/** Fault record. `state` is written last: a record without BHL_FAULT_COMPLETE does not count. */
#define BHL_FAULT_COMPLETE 0x444c5546u
struct bhl_fault {
    _Atomic uint32_t state;
    int32_t signal;
    int32_t signal_code;
    int32_t sender_pid; /* 0: none or not known */
    uint32_t sender_uid;
    int32_t syscall; /* -1: none */
    int32_t self;    /* 1: the process sent the signal to itself */
    int32_t stack_overflow;
    uint64_t thread_id;
    uint64_t address;
    uint64_t instruction;
    uint64_t stack_pointer;
    uint32_t register_count;
    uint32_t reserved;
    uint64_t registers[BHL_REGISTERS_MAX]; /* order of bhp_register_name() */
};

/** Header of the reply half: the box, then the head of the reply. */
struct bhl_reply_half {
    _Atomic uint32_t bell;     /* futex: raised after `committed` or `turn` changed */
    _Atomic uint32_t exiting;  /* 1: the atexit hook ran */
    _Atomic uint32_t quitting; /* 1: leaving in order */
    uint32_t reserved;
    _Atomic uint64_t started;
    _Atomic uint64_t committed;
    _Atomic uint64_t progress; /* counts signs of life */
    _Atomic uint64_t progress_done;
    _Atomic uint64_t progress_total;
    _Atomic uint64_t turn; /* the number of the worker's turn */
    /* the reply; stable from `committed` until the next request's bell */
    _Alignas(64) uint32_t status; /* enum bhl_status */
    int32_t code;                 /* BHL_FAILED */
    uint64_t length;  /* BHL_REPLIED: wire form of exactly one value; BHL_FAILED: UTF-8 text */
    uint64_t segment; /* 0: none; else the id of a segment: that of an earlier reply, or one that
                         came by control since. Payloads may lie in it beside the message */
    uint64_t segment_bytes;
    _Alignas(64) struct bhi_partial_words partial;
    uint64_t place; /* of the message in that segment, or BHL_IN_HALF: in this half's data,
                       as always without a segment */
    uint64_t segment_dropped; /* the worker let go of its segments up to this id after the reply */
    uint32_t mails;           /* control messages that the worker has sent */
    uint32_t reserved_too;
    _Alignas(64) struct bhl_fault fault;
    _Alignas(64) struct bhl_turn said;
    _Alignas(64) struct bhl_reply_slot slot[BHL_SLOTS]; /* stable from `committed` on, until the
                                                            slot is published anew */
};

_Static_assert(sizeof(struct bhl_request_half) <= BHL_HEADER_BYTES, "one page of header");
_Static_assert(sizeof(struct bhl_reply_half) <= BHL_HEADER_BYTES, "one page of header");

/* ---- control socket between dispatcher and worker (SOCK_SEQPACKET) ------------------------------
 */

enum bhl_control_type {
    BHL_CONTROL_HELLO = 1,   /* worker: ready. The reply half's data holds `length` bytes of wire
                                form: one  array of maps {name, help}, the method table in order */
    BHL_CONTROL_SEGMENT = 2, /* either way, with one descriptor: the segment `id` of `bytes` bytes.
                               Sent before the serial that uses it is published or committed. A
                               reply's segment is plain memory without holes and has the seals
                               SHRINK, GROW, FUTURE_WRITE, SEAL: nothing that the worker does later
                               can take a page away, so that the dispatcher may map it */
    BHL_CONTROL_BUFFER = 3   /* dispatcher: the same, for a buffer */
};
/** bhl_control.flags */
enum { BHL_HELLO_FORK_SAFE = 1 /* a template could be made of this program */ };
struct bhl_control {
    uint32_t magic;
    uint32_t type;
    uint32_t version;
    uint32_t flags;  /* HELLO: BHL_HELLO_… */
    uint64_t id;     /* SEGMENT, BUFFER: the dispatcher counts; the worker uses the serial of the
                        request that needed it */
    uint64_t bytes;  /* SEGMENT: size; HELLO: unused */
    uint64_t length; /* HELLO */
    int64_t pid;     /* HELLO */
};

/* ---- socket between dispatcher and launcher (SOCK_SEQPACKET) ---- */

enum bhl_launch_type {
    BHL_LAUNCH_HELLO = 1,   /* launcher: it is there */
    BHL_LAUNCH_START = 2,   /* dispatcher, with four descriptors: request half, reply half, control,
                               output pipe */
    BHL_LAUNCH_STARTED = 3, /* launcher, with the worker's pidfd: `pid` */
    BHL_LAUNCH_NOT_STARTED = 4,    /* launcher: `value` is errno, `step` what failed */
    BHL_LAUNCH_EXITED = 5,         /* launcher: `value` is the wait status */
    BHL_LAUNCH_CLOSE = 6,          /* dispatcher: kill everything and exit */
    BHL_LAUNCH_KILL = 7,           /* dispatcher: kill this worker, of which it has no pidfd */
    BHL_LAUNCH_TEMPLATE = 8,       /* dispatcher, with an output pipe: make the template `template`,
                                      instead of the one there is. NOT_STARTED or EXITED with cookie
                                      0 tells its end */
    BHL_LAUNCH_TEMPLATE_READY = 9, /* launcher: `pid` */
    BHL_LAUNCH_TEMPLATE_DROP = 10  /* dispatcher: end this template; who waits for it is started
                                      plainly */
};
struct bhl_launch {
    uint32_t magic;
    uint32_t type;
    uint32_t version;
    int32_t value;
    uint64_t cookie;
    int64_t pid;
    uint64_t user_us;
    uint64_t system_us;
    uint64_t max_rss_bytes; /* EXITED: of all its memory, shared included */
    uint32_t oom;           /* EXITED: the cgroup's oom_kill counter went up */
    uint32_t template;      /* number of a template, 0: none. START: fork from it if it is there;
                               STARTED: forked from it */
    char step[128];         /* NOT_STARTED: "exec /path", "chdir …", cut to fit; else empty */
};
_Static_assert(sizeof(struct bhl_launch) == 192, "no padding: all of it is sent");

/* ---- socket between launcher and template (SOCK_SEQPACKET) ---- */

enum bhl_template_type {
    BHL_TEMPLATE_READY = 1,  /* template: init() has run */
    BHL_TEMPLATE_FORK = 2,   /* launcher, with four descriptors as in START: a worker with `cookie`
                              */
    BHL_TEMPLATE_FORKED = 3, /* the new worker itself, once it is the launcher's child and before it
                                does anything: `pid` */
    BHL_TEMPLATE_FAILED = 4  /* template: there is no process */
};
/** What a template sends is hostile input: init() has run in it. */
struct bhl_template_message {
    uint32_t magic;
    uint32_t type;
    uint64_t cookie;
    int64_t pid;
};
_Static_assert(sizeof(struct bhl_template_message) == 24, "no padding: all of it is sent");

#endif
