/* SPDX-License-Identifier: MIT */
/**
 * @file protocol.h
 * What dispatcher and worker say to each other on Windows, besides COM itself: two shared sections,
 * a bell, and how both are handed over. Fixed-width fields and natural alignment only: a 32-bit
 * worker under a 64-bit dispatcher reads the same bytes.
 *
 * Start. The dispatcher makes a cookie's *call section* (it writes, the worker may only read), *box
 * section* (the worker writes, the dispatcher maps it read-only), *bell* (an unnamed auto-reset
 * event) and a *ready event*, whose unguessable name, like the item of the moniker, stands in the
 * call section. The worker's last argument is "--bulkhead=POOL,COOKIE,DISPATCHER_PID"; its
 * environment has BULKHEAD_CHANNEL with five handles that it inherits, in hexadecimal and separated
 * by commas: call section (FILE_MAP_READ), box section (FILE_MAP_READ | FILE_MAP_WRITE), bell
 * (SYNCHRONIZE), the dispatcher's process (SYNCHRONIZE, PROCESS_DUP_HANDLE is *not* granted) and an
 * event, `dumping` (EVENT_MODIFY_STATE).
 *
 * The worker attaches, runs init(), puts its object into the Running Object Table under
 * CreateItemMoniker(L"!", item) and sets the ready event by name. The dispatcher waits for ready
 * event, process and the start-up deadline; then it binds the moniker and asks for the methods with
 * BHW_DISPID_METHODS and one argument, a random VT_UI8 (from a late-bound client: none). The worker
 * stores that number in `greeted` before it answers: so the dispatcher knows that it holds the
 * object of this very process, and not one that somebody else put under the same moniker. Then it
 * sets `bound` and rings the bell: the worker revokes its entry unless `keep_registered`.
 *
 * A request is one Invoke with the method's DISPID (its position in the table + 1) and the
 * arguments as positional VARIANTs, so that a late-bound client calls the same object the same way.
 * The dispatcher stores `serial` before, the worker reads it when the call arrives and stores
 * `started`; it stores `committed` when the answer is complete, before the call returns. A
 * handler's failure is DISP_E_EXCEPTION with EXCEPINFO: scode = its number, bstrDescription = its
 * text, wCode = 0. The call of a stranger (serial 0, or the one that was committed last) is served
 * too and leaves these words alone; so that a stranger who comes just before the dispatcher is not
 * taken for it, the dispatcher's calls carry BHW_LCID, and with `keep_registered` only such a call
 * takes the serial.
 *
 * The dispatcher stores the serial in `received` when Invoke has returned. A worker that wants to
 * go on to something that may end it (the idle hook, leaving) waits for that word, BHW_RECEIPT_MS
 * at most: COM sends a reply after the method has returned, on a thread of its own, and does not
 * say when. No bell.
 *
 * A call that comes while another is served, because the library pumps messages, is refused in
 * band: DISP_E_EXCEPTION, wCode = BHW_WCODE_BUSY. One that comes when the worker is leaving gets
 * RPC_E_DISCONNECTED; as `started` shows, neither has begun.
 *
 * Blobs (variant.h, arena.h). Payloads of at least blob_bytes travel in two arenas, sections of
 * committed memory that both sides keep mapped: the dispatcher writes the requests', the worker the
 * replies'. A reference is 24 bits of generation and 40 of place. Each new section, made when a
 * message needs more than there is, has the next generation, and is announced in the writer's
 * struct bhw_arena_words before the message goes: `handle` is its number in the worker's process,
 * where the dispatcher has put the requests' (FILE_MAP_READ | SECTION_QUERY) and from where it
 * fetches the replies' (DUPLICATE_CLOSE_SOURCE). The reader of a reference of a generation that it
 * does not have stores it in its `…_taken`, then takes the handle, maps the section and closes the
 * handle. Before the writer announces the next section it closes the handle of the one before,
 * unless that was taken. `dropped` says that a generation will not be named any more: the reader
 * lets it go, the worker when the bell is rung or the next call comes. The dispatcher says in
 * `reply_dropped` that it has let go of a generation of the worker's, and the worker does the same.
 * A stranger's references are refused, and a reply to it has none.
 *
 * A session's buffer is a third such section, written by the dispatcher: it has words of its own,
 * `buffer` and `buffer_taken`, and its generations have the bit BHW_BUFFER_GENERATION.
 *
 * Callbacks. A request that was lent callbacks has one more argument, the last: an IDispatch of the
 * dispatcher's (VT_DISPATCH), for this request alone. The handler calls it with
 * BHW_DISPID_CALLBACK; the answer is that of a request: S_OK with a value, DISP_E_EXCEPTION with
 * the caller's own number and text, or with wCode = BHW_WCODE_REFUSED and an enum bh_error. It
 * serves one call at a time, and BHW_WCODE_BUSY is the answer to who comes when it is not the
 * worker's turn. While the worker waits for a callback the dispatcher may call a method of it,
 * nested: it raises `nested` before and calls with BHW_LCID; such a call is served although another
 * is at hand, and leaves serial, started and committed alone. Payloads of callbacks and nested
 * calls never travel in arenas. When the request has ended the object is disconnected.
 *
 * Partial replies (core/partial_words.h). Behind the box its section has two places of
 * `partial_bytes` for them, rounded up to BHW_PARTIAL_ALIGNMENT; what they hold is in the wire form
 * of docs/wire.md. The dispatcher reads them when an attempt has ended without an answer. No bell.
 *
 * Dump. If `dump_path` is not empty, a worker that faults or aborts stores BHW_DUMP_BEGUN, sets
 * `dumping`, writes a minidump to that path, stores how that went, and ends as it would have
 * without: after `dump_timeout_ms` by itself. The dispatcher, which may find it hung because
 * writing a dump suspends the other threads, ends it BHW_DUMP_GRACE_MS later.
 *
 * Bell. Rung after `quit`, `bound`, `cancel` or `request.dropped` changed. The worker waits with
 * MsgWaitForMultipleObjects for {dispatcher's process, bell, messages}.
 */
#ifndef BHW_PROTOCOL_H
#define BHW_PROTOCOL_H

#include "core/partial_words.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define BHW_VERSION 2u
#define BHW_MAGIC 0x4b574842u /* "BHWK" */
#define BHW_ARGUMENT "--bulkhead="
#define BHW_ENVIRONMENT "BULKHEAD_CHANNEL"
#define BHW_NAME_CHARS 96
#define BHW_REGISTERS_MAX 40u
/** Answers with one array of maps {name, help}, the table in order. */
#define BHW_DISPID_METHODS 0x42480001
/** Of the dispatcher's object: calls back. Its arguments are the name, then the arguments. */
#define BHW_DISPID_CALLBACK 0x42480002

/** The locale that the dispatcher gives with its calls; means nothing otherwise. */
#define BHW_LCID 0x4248u
/** EXCEPINFO.wCode: the worker is busy with another call. Numbers below 1000 are the system's. */
#define BHW_WCODE_BUSY 1001
/** Likewise: there is no answer to a callback; scode is an enum bh_error. */
#define BHW_WCODE_REFUSED 1002
/** How long a worker waits for `received`, milliseconds. */
#define BHW_RECEIPT_MS 1000

/** How much longer than `dump_timeout_ms` a dump may take by the dispatcher's clock. */
#define BHW_DUMP_GRACE_MS 2000
#define BHW_PATH_CHARS 260
/** bhw_box_section.dump */
enum { BHW_DUMP_NONE, BHW_DUMP_BEGUN, BHW_DUMP_WRITTEN, BHW_DUMP_FAILED };

/** The exit code of bhp_worker_kill(): told from a worker's own codes by the box and our own
 * record. */
#define BHW_KILLED 0xB41C0DE0u

/** The least payload that travels in an arena: where that is no slower. Echo under Wine 8 on two
 * busy processors, milliseconds, in the call (SAFEARRAY of VT_UI1) and in an arena: bytes    2 Ki
 * 8 Ki   16 Ki   64 Ki   256 Ki   1 Mi   16 Mi call     0.47   0.64   1.02    2.7     10       44
 * 1077 arena    0.50   0.66   0.65    0.67    0.5      1.1    12 */
#define BHW_BLOB_BYTES 8192u

#define BHW_PARTIAL_ALIGNMENT 64u
/** What a place for partial replies takes up. */
#define BHW_PARTIAL_ROOM(bytes)                                                                    \
    (((uint64_t)(bytes) + BHW_PARTIAL_ALIGNMENT - 1) / BHW_PARTIAL_ALIGNMENT *                     \
     BHW_PARTIAL_ALIGNMENT)
/** Marks the generations of buffers; those of arenas stay below. */
#define BHW_BUFFER_GENERATION 0x800000u
/** Payloads begin at multiples of this; those that were copied, of BHW_ARENA_ALIGNMENT. */
#define BHW_PLACE_ALIGNMENT 8u

/** What the writer of an arena says about it. */
struct bhw_arena_words {
    _Atomic uint64_t handle;     /* in the worker's process; 0: none */
    _Atomic uint32_t generation; /* that it belongs to; 0: there never was one */
    _Atomic uint32_t dropped;    /* this generation is not in use any more */
};

/** Call section: the dispatcher's words. 64-bit words are only ever written whole. */
struct bhw_call_section {
    uint32_t magic;
    uint32_t version;
    uint64_t cookie;
    uint64_t dispatcher_pid;
    uint64_t max_request_bytes;
    uint64_t max_reply_bytes;
    uint32_t keep_registered;
    uint32_t rearm;
    uint32_t blob_bytes;  /* payloads of at least this size travel in arenas; 0: never */
    uint32_t arena_bytes; /* size of the smallest arena */
    uint32_t dump_timeout_ms;
    uint32_t partial_bytes;               /* of one place for partial replies; 0: none */
    uint16_t ready_event[BHW_NAME_CHARS]; /* UTF-16, NUL-terminated */
    uint16_t item[BHW_NAME_CHARS];        /* of the moniker */
    uint16_t dump_path[BHW_PATH_CHARS];   /* empty: no dumps */
    _Alignas(64) _Atomic uint64_t serial; /* of the call that comes next or is under way; 0: none */
    _Atomic uint64_t cancel;              /* this serial should give up */
    _Atomic uint32_t quit;                /* leave when nothing is at hand */
    _Atomic uint32_t bound;               /* the dispatcher holds the object */
    _Atomic uint64_t received;            /* the reply to this serial has arrived */
    struct bhw_arena_words request;
    _Atomic uint32_t reply_taken;   /* generation of the worker's arena */
    _Atomic uint32_t reply_dropped; /* likewise: the dispatcher has let it go */
    struct bhw_arena_words buffer;
    _Atomic uint64_t nested; /* counts nested calls; stored before each */
    uint32_t callback_depth; /* how deep callbacks may nest in one request */
    uint32_t reserved;
};

/** Fault record. `state` is written last. */
#define BHW_FAULT_COMPLETE 0x444c5546u
struct bhw_fault {
    _Atomic uint32_t state;
    uint32_t exception; /* EXCEPTION_… code */
    uint32_t stack_overflow;
    uint32_t register_count;
    uint32_t machine; /* IMAGE_FILE_MACHINE_…: whose registers they are */
    uint32_t reserved;
    uint64_t thread_id;
    uint64_t address; /* that was touched; else the instruction's */
    uint64_t instruction;
    uint64_t stack_pointer;
    uint64_t module_base;                  /* of the module the instruction lies in; 0: none */
    uint16_t module[64];                   /* its file name, UTF-16, cut to fit, NUL-terminated */
    uint64_t registers[BHW_REGISTERS_MAX]; /* order of registers.h */
};

/** Box section: the worker's words. Hostile input. */
struct bhw_box_section {
    _Atomic uint32_t exiting;
    _Atomic uint32_t quitting;
    _Atomic uint32_t aborted;       /* abort() was called: the SIGABRT handler ran */
    _Atomic uint32_t request_taken; /* generation of the dispatcher's arena */
    _Atomic uint64_t started;
    _Atomic uint64_t committed;
    _Atomic uint64_t progress;
    _Atomic uint64_t progress_done;
    _Atomic uint64_t progress_total;
    _Atomic uint64_t greeted; /* the argument of the latest BHW_DISPID_METHODS that had one */
    struct bhw_arena_words reply;
    _Atomic uint32_t dump;         /* BHW_DUMP_… */
    _Atomic uint32_t buffer_taken; /* generation of the dispatcher's buffer */
    _Alignas(64) struct bhi_partial_words partial;
    _Alignas(64) struct bhw_fault fault;
    /* then the places for partial replies */
};

/* Both bitnesses see the same. */
#define BHW_AT(type, field, offset)                                                                \
    _Static_assert(offsetof(struct type, field) == (offset), #type "." #field)
BHW_AT(bhw_call_section, cookie, 8);
BHW_AT(bhw_call_section, partial_bytes, 60);
BHW_AT(bhw_call_section, ready_event, 64);
BHW_AT(bhw_call_section, item, 256);
BHW_AT(bhw_call_section, dump_path, 448);
BHW_AT(bhw_call_section, serial, 1024);
BHW_AT(bhw_call_section, received, 1048);
BHW_AT(bhw_call_section, request, 1056);
BHW_AT(bhw_call_section, reply_taken, 1072);
BHW_AT(bhw_call_section, buffer, 1080);
BHW_AT(bhw_call_section, nested, 1096);
BHW_AT(bhw_box_section, started, 16);
BHW_AT(bhw_box_section, greeted, 56);
BHW_AT(bhw_box_section, reply, 64);
BHW_AT(bhw_box_section, dump, 80);
BHW_AT(bhw_box_section, partial, 128);
BHW_AT(bhw_box_section, fault, 192);
BHW_AT(bhw_fault, thread_id, 24);
BHW_AT(bhw_fault, module, 64);
BHW_AT(bhw_fault, registers, 192);
_Static_assert(sizeof(struct bhw_call_section) == 1152, "call section");
_Static_assert(sizeof(struct bhw_box_section) == 704, "box section");
#undef BHW_AT

#endif
