/* SPDX-License-Identifier: MIT */
/**
 * @file worker_end.h
 * The worker's end: what the worker_*.c files share. Nothing here is used by a dispatcher.
 */
#ifndef BHW_WORKER_END_H
#define BHW_WORKER_END_H

#include "compiler.h"
#include "protocol.h"
#include "variant.h"

#include "worker/channel.h"

#include <windows.h>
#include <objbase.h>
#include <oleauto.h>

/** Exit status of a worker that finds its dispatcher (or itself) breaking the protocol. */
#define BHW_STATUS_PROTOCOL 70
/** Exit code of abort(), and of no fault. */
#define BHW_STATUS_ABORT 3u

/** The process's one end. `call` is NULL until it is open. Fixed after that, but for `taken`, which
 * belongs to the serving thread. */
struct bhw_worker_end {
    const struct bhw_call_section *call;
    struct bhw_box_section *box;
    HANDLE bell;
    HANDLE dispatcher;
    HANDLE dumping;
    uint64_t taken; /* the last serial */
};
extern struct bhw_worker_end bhw_worker_end;

/* ---- worker_attach.c ---- */

/** Ends the process: text to stderr, the exiting mark (it does leave on purpose), status 70. */
_Noreturn void bhw_worker_die(const char *format, ...) BHW_PRINTF(1, 2);

/* ---- worker_quiet.c ---- */

/** No dialog, whatever happens. Any number of times; the first before anything can happen. */
void bhw_worker_quiet(void);
/** Binds stdout and stderr to what the process inherited, where the C runtime has not. */
void bhw_worker_bind_output(void);
/** Has every C runtime in the process say on stderr what it would show in a box, and call
 * bhw_worker_on_abort() when it aborts, unless the program has a handler. Runtimes that come later
 * are not seen: call it again. */
void bhw_worker_quiet_runtimes(void);

/* ---- worker_com.c ---- */

/** Makes the calling thread a single-threaded apartment that nobody but its own user can call. */
int bhw_worker_com_open(struct bh_problem *problem);

/* ---- worker_fault.c ---- */

/** Installs the filter for exceptions that nobody handles. */
void bhw_worker_fault_install(void);
/** Before a request: puts our hooks back where a library has replaced them, if the pool says so. */
void bhw_worker_fault_rearm(void);
/** Keeps enough of the calling thread's stack for the filter to run when it overflows. */
int bhw_worker_stack_reserve(void);
/** Calls body(context). A fault in there, if nobody in there handles it, is recorded and ends the
 * process, before COM can swallow it. */
void bhw_worker_guard(void (*body)(void *), void *context);

/* ---- worker_dump.c ---- */

/** Makes ready to write a minidump, if the dispatcher wants one. Whatever is missing: none will be
 * written. */
void bhw_worker_dump_install(void);
/** Writes it, of the calling thread's end; returns when that is done, or took too long. Once.
 * @param pointers NULL: there was no exception */
void bhw_worker_dump(EXCEPTION_POINTERS *pointers);
/** How long bhw_worker_dump() may take; 0: no dumps. */
DWORD bhw_worker_dump_ms(void);
/** Whether the calling thread is the one that writes; and its way out when it faults. */
bool bhw_worker_dump_is_mine(void);
_Noreturn void bhw_worker_dump_fail(void);

/* ---- worker_exit.c ---- */

/** Installs what marks abort() and exits. @return BH_OK or BH_E_MEMORY */
int bhw_worker_exit_install(void);
/** The handler of SIGABRT. */
void bhw_worker_on_abort(int signal);

/* ---- worker_object.c ---- */

/** The one object, also an IUnknown. The caller has no reference of its own to release. */
IDispatch *bhw_worker_object(void);
/** Whether nobody outside holds it: neither a client nor the Running Object Table. */
bool bhw_worker_object_alone(void);

/** What the object's methods are made of. */
struct bhw_worker_invocation {
    DISPID id;
    LCID locale;
    WORD flags;
    const DISPPARAMS *parameters;
    VARIANT *result;      /* may be NULL */
    EXCEPINFO *exception; /* may be NULL */
};

/* ---- worker_late.c ---- */

/** Gives the 64-bit integers in a VARIANT types that scripts know, where nothing is lost. */
void bhw_worker_soften(VARIANT *variant);

/* ---- worker_call.c ---- */

/** Keeps what METHODS answers. The value is not needed afterwards. */
int bhw_worker_methods_set(const bh_value *methods, struct bh_problem *problem);
/** The position of a method in the table, by its exact name or, second, by one that differs in case
 * only; -1: there is none. */
int32_t bhw_worker_methods_find(const WCHAR *name);
/** From now on calls are served, for `owner`. NULL: they are sent away. */
void bhw_worker_calls_for(const struct bhi_channel_owner *owner);
/** One IDispatch::Invoke. */
HRESULT bhw_worker_invoke(const struct bhw_worker_invocation *invocation);
/** How many calls have been served. The serial of the last that was the dispatcher's is in
 * bhw_worker_end.taken; *own says whether that was the last of all. */
uint64_t bhw_worker_calls_served(bool *own);

/* ---- worker_callback.c ---- */

/** One of the dispatcher's requests begins: takes the dispatcher's object off its arguments, if it
 * was lent callbacks. The object is valid until the end. */
void bhw_worker_callbacks_begin(DISPPARAMS *parameters);
void bhw_worker_callbacks_end(void);
/** Whether the request at hand is a nested one. */
bool bhw_worker_nested(void);
/** Whether a call that has come is the nested one that the dispatcher announced. Then it is at hand
 * until bhw_worker_nested_done(). */
bool bhw_worker_nested_take(LCID locale);
void bhw_worker_nested_done(void);

/* ---- worker_blobs.c ---- */

/** The blobs of the dispatcher's calls. What is read is valid until the method returns. */
struct bhw_blobs *bhw_worker_blobs(void);
/** Before and after each of the dispatcher's calls. */
void bhw_worker_blobs_begin(void);
void bhw_worker_blobs_end(void);
/** After each call, also a stranger's: frees the buffers that were ordinary memory. */
void bhw_worker_buffers_end(void);
/** Before and after a nested call, whose buffers go with its handler. */
struct bhw_buffers_mark {
    uint64_t wanted;
    void *spares;
};
struct bhw_buffers_mark bhw_worker_buffers_mark(void);
void bhw_worker_buffers_reset(const struct bhw_buffers_mark *mark);
/** Between calls, when the bell has been rung: lets go what the dispatcher has dropped. */
void bhw_worker_blobs_look(void);

/* ---- worker_table.c ---- */

/** Puts the object into the Running Object Table, trying until it works or nobody wants it any
 * more, and says that it is there. */
int bhw_worker_table_enter(struct bh_problem *problem);
/** Takes it out again. Twice is fine. */
void bhw_worker_table_leave(void);
/** Whether it is in. */
bool bhw_worker_table_has(void);

#endif
