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
 * Serials ascend, so `committed` says that every slot up to its serial is done, and a slot is free
 * when it is done and its reply was taken. Taking back is Dekker's algorithm: each side writes its
 * word before it reads the other's, so that at least one of them sees the other.
 */
#ifndef BHL_PROTOCOL_H
#define BHL_PROTOCOL_H

#include <stdatomic.h>
#include <stdint.h>

/** Raised whenever anything in this file changes its meaning. */
#define BHL_VERSION 2u
#define BHL_MAGIC 0x4b4c4842u /* "BHLK" */

#define BHL_HEADER_BYTES 4096u
#define BHL_REGISTERS_MAX 40u

/** Slots in a lane, and the bytes of each one's message, in either half. The smallest lane of all
 * has room for them. */
#define BHL_SLOTS 32u
#define BHL_SLOT_BYTES 512u

/** Descriptors that a worker finds open besides 0 (null device), 1 and 2 (the output pipe). */
enum { BHL_FD_REQUEST = 3, BHL_FD_REPLY = 4, BHL_FD_CONTROL = 5 };

/** Descriptors that the launcher finds open (0, 1, 2 are the null device). */
enum { BHL_FD_SOCKET = 3, BHL_FD_DISPATCHER = 4, BHL_FD_SPEC = 5 };

/** The last argument on a worker's command line, which shows what the process is:
 * "--bulkhead=POOL,COOKIE,DISPATCHER_PID" with POOL free of commas and control characters. */
#define BHL_ARGUMENT "--bulkhead="
/** In a worker's environment: its cookie, in decimal. By it the launcher tells whose orphan a stray
 * is. */
#define BHL_ENVIRONMENT "BULKHEAD_COOKIE"

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
    /* signals */
    _Alignas(64) _Atomic uint32_t bell; /* futex: raised after anything below changed */
    _Atomic uint32_t quit;              /* leave when nothing is at hand */
    _Atomic uint64_t cancel;            /* this serial should give up */
    /* the message; stable from the bell until `committed` says its serial */
    _Alignas(64) _Atomic uint64_t serial;
    uint32_t method;    /* index into the worker's table */
    uint32_t transient; /* 1: unmap the segment after this request */
    uint64_t length;    /* bytes of arguments in wire form: a sequence of values */
    uint64_t segment;   /* 0: they are in this half's data; else the id of a blob segment: the one
                           of an earlier request, or one that came by control since. The worker
                           keeps only the last that a request named, unless it was transient */
    uint64_t segment_bytes; /* size of that segment */
    /* the slots */
    _Alignas(64) _Atomic uint64_t slots; /* ever published */
    _Atomic uint32_t waiting;            /* somebody sleeps, or is about to, until one is done */
    _Alignas(64) struct bhl_request_slot slot[BHL_SLOTS];
};

/** How a reply came out; the last one for a slot alone: it was taken back in time. */
enum bhl_status { BHL_REPLIED = 1, BHL_FAILED = 2, BHL_GIVEN_BACK = 3 };

/** Head of a slot, of a reply. A value or a text in the half is where the request's message is. */
struct bhl_reply_slot {
    uint64_t serial;
    uint32_t status; /* enum bhl_status */
    int32_t code;
    uint64_t length;
    uint64_t segment; /* as in the header below */
    uint64_t segment_bytes;
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
    _Atomic uint32_t bell;     /* futex: raised after `committed` changed */
    _Atomic uint32_t exiting;  /* 1: the atexit hook ran */
    _Atomic uint32_t quitting; /* 1: leaving in order */
    uint32_t reserved;
    _Atomic uint64_t started;
    _Atomic uint64_t committed;
    _Atomic uint64_t progress; /* counts signs of life */
    _Atomic uint64_t progress_done;
    _Atomic uint64_t progress_total;
    /* the reply; stable from `committed` until the next request's bell */
    _Alignas(64) uint32_t status; /* enum bhl_status */
    int32_t code;                 /* BHL_FAILED */
    uint64_t length; /* BHL_REPLIED: wire form of exactly one value; BHL_FAILED: UTF-8 text */
    uint64_t
        segment; /* 0: in this half's data; else the serial, and a segment follows by control */
    uint64_t segment_bytes;
    _Alignas(64) struct bhl_fault fault;
    _Alignas(64) struct bhl_reply_slot slot[BHL_SLOTS]; /* stable from `committed` on, until the
                                                           slot is published anew */
};

_Static_assert(sizeof(struct bhl_request_half) <= BHL_HEADER_BYTES, "one page of header");
_Static_assert(sizeof(struct bhl_reply_half) <= BHL_HEADER_BYTES, "one page of header");

/* ---- control socket between dispatcher and worker (SOCK_SEQPACKET) ------------------------------
 */

enum bhl_control_type {
    BHL_CONTROL_HELLO = 1,  /* worker: ready. The reply half's data holds `length` bytes of wire
                               form: one  array of maps {name, help}, the method table in order */
    BHL_CONTROL_SEGMENT = 2 /* either way, with one descriptor: the segment `id` of `bytes` bytes.
                               Sent before the serial that uses it is published or committed. A
                               reply's segment has the seals SHRINK, GROW, SEAL; the dispatcher
                               never maps it, it reads it with pread() */
};
struct bhl_control {
    uint32_t magic;
    uint32_t type;
    uint32_t version;
    uint32_t reserved;
    uint64_t id;     /* SEGMENT: dispatcher counts its own; worker uses the serial */
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
    BHL_LAUNCH_NOT_STARTED = 4, /* launcher: `value` is errno, `step` what failed */
    BHL_LAUNCH_EXITED = 5,      /* launcher: `value` is the wait status */
    BHL_LAUNCH_CLOSE = 6,       /* dispatcher: kill everything and exit */
    BHL_LAUNCH_KILL = 7         /* dispatcher: kill this worker, of which it has no pidfd */
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
    uint32_t reserved;
    char step[128]; /* NOT_STARTED: "exec /path", "chdir …", cut to fit; else empty */
};
_Static_assert(sizeof(struct bhl_launch) == 192, "no padding: all of it is sent");

#endif
