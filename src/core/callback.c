/* SPDX-License-Identifier: MIT */
/*
 * Callbacks: functions of the caller's that a worker calls during a request.
 *
 * Model: the platform's lane brings a callback while it waits for the reply, on whatever thread it
 * likes; here the function is found, run, and its answer handed back. Each thread knows the
 * callback that it runs as a frame; frames are linked to the frame that waits for them, on the same
 * thread or by way of a ticket, so that who would wait for himself can be told at once.
 *
 * Invariants: a frame's life is that of its callback, and whoever it is linked to waits for it. A
 * request that was taken away has no further function called. While a function runs its worker's
 * silence is not counted; in a nested call it is.
 */
#include <bulkhead/callback.h>

#include "alloc.h"
#include "pool_internal.h"
#include "problem.h"
#include "utf8.h"

#include <stdarg.h>
#include <string.h>

/** A callback that runs. */
struct bhi_frame {
    const bh_pool *pool;
    const struct bhi_frame *inside; /* the callback that waits for this one; NULL: none */
};

struct bh_callback_call {
    struct bhi_frame frame; /* first: it stands for the call */
    struct bhi_ticket *ticket;
    struct bhp_callback *callback;
    bool answered;
};

/* ---- who waits for whom ---- */

const struct bhi_frame *bhi_callback_current(void)
{
    return bhp_thread_own();
}

bool bhi_callback_holds(const bh_pool *pool)
{
    for (const struct bhi_frame *frame = bhi_callback_current(); frame; frame = frame->inside)
        if (frame->pool == pool)
            return true;
    return false;
}

/* ---- the table ---- */

const char *bhi_callback_flaw(const struct bh_request *request)
{
    const struct bh_callback *entry = request->callbacks;

    for (; entry && entry->name; entry++) {
        if (!entry->call)
            return "the request has a callback without a function";
        if (!bhi_utf8_valid(entry->name, strlen(entry->name)))
            return "the request has a callback whose name is not UTF-8";
    }
    return NULL;
}

static const struct bh_callback *find(const struct bh_request *request, const char *name)
{
    for (const struct bh_callback *entry = request->callbacks; entry->name; entry++)
        if (strcmp(entry->name, name) == 0)
            return entry;
    return NULL;
}

/* ---- answers ---- */

/* Text for a person, best effort: an answer without it is still right. */
static char *copy_text(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = bhi_alloc(size);

    if (copy)
        memcpy(copy, text, size);
    return copy;
}

static void refuse(struct bhp_callback *callback, int code, const char *format, ...)
    BH_PRINTF(3, 4);
static void refuse(struct bhp_callback *callback, int code, const char *format, ...)
{
    struct bh_problem problem;
    va_list arguments;

    va_start(arguments, format);
    bhi_problem_setv(&problem, code, 0, format, arguments);
    va_end(arguments);
    callback->end = BHP_CALLBACK_REFUSED;
    callback->code = code;
    callback->text = copy_text(problem.text);
}

int bh_callback_reply(bh_callback_call *call, const bh_value *value)
{
    struct bh_value_limits limits = {.bytes = call->ticket->pool->options.max_request_bytes};
    size_t size;

    if (call->answered)
        return BH_E_STATE;
    int error = bh_wire_size(value, 1, &limits, &size);
    if (!error)
        error = bh_value_copy(&call->callback->value, value);
    call->answered = !error;
    return error;
}

int bh_callback_fail(bh_callback_call *call, int32_t code, const char *format, ...)
{
    struct bh_problem problem; /* makes the bytes fit to send */
    va_list arguments;

    if (call->answered)
        return BH_E_STATE;
    va_start(arguments, format);
    bhi_problem_setv(&problem, BH_E_FAILED, 0, format, arguments);
    va_end(arguments);
    call->callback->end = BHP_CALLBACK_FAILED;
    call->callback->code = code;
    call->callback->text = copy_text(problem.text);
    call->answered = true;
    return BH_OK;
}

/* ---- running ---- */

/* Whether nobody waits for the request's answer any more. */
static bool is_over(const struct bhi_ticket *ticket)
{
    /* Pair with the compare-and-swap in bhi_queue_claim() and with bury(). */
    return atomic_load(&ticket->life->claim) != ticket->serial << 1 ||
           atomic_load(&ticket->life->stop) != 0;
}

/* The caller's function begins or ends to run: the worker's silence is counted from then on, or
 * not at all. */
static void set_runs(struct bhi_ticket *ticket, bool runs)
{
    bhp_mutex_lock(&ticket->pool->lock);
    ticket->life->calls_back = runs;
    ticket->life->progress_at = bhp_now();
    bhp_mutex_unlock(&ticket->pool->lock);
}

void bhi_callback_run(void *context, struct bhp_callback *callback)
{
    struct bhi_ticket *ticket = context;
    const struct bh_request *request = ticket->request;
    const struct bh_callback *entry = find(request, callback->name);
    const struct bhi_frame *before = bhi_callback_current();
    struct bh_callback_call call = {
        .frame = {.pool = ticket->pool, .inside = before ? before : ticket->inside},
        .ticket = ticket,
        .callback = callback,
    };

    callback->end = BHP_CALLBACK_REPLIED;
    callback->value = bh_value_null();
    if (is_over(ticket)) {
        refuse(callback, BH_E_CANCELLED, "%s", bh_error_text(BH_E_CANCELLED));
        return;
    }
    if (!entry) {
        refuse(callback, BH_E_NOT_FOUND, "the caller has no callback \"%.100s\"", callback->name);
        return;
    }
    bhp_thread_set_own(&call.frame);
    set_runs(ticket, true);
    entry->call(&call, callback->arguments, callback->count, request->callback_context);
    set_runs(ticket, false);
    bhp_thread_set_own(before);
}

/* ---- what a callback asks ---- */

bool bh_callback_cancelled(const bh_callback_call *call)
{
    return is_over(call->ticket);
}

uint64_t bh_callback_serial(const bh_callback_call *call)
{
    return call->ticket->serial;
}

const char *bh_callback_name(const bh_callback_call *call)
{
    return call->callback->name;
}

uint32_t bh_callback_depth(const bh_callback_call *call)
{
    return call->callback->depth;
}

/* What is the matter with the arguments, as the code that a person can do something about. */
static int code_of_invalid(const bh_value *arguments, size_t count)
{
    size_t size;
    int code = bh_wire_size(arguments, count, NULL, &size);

    return code ? code : BH_E_TYPE;
}

static int lost(const struct bhi_ticket *ticket, struct bh_problem *problem)
{
    int code =
        atomic_load(&ticket->life->claim) != ticket->serial << 1 ? BH_E_CANCELLED : BH_E_LOST;

    return bhi_problem_set(problem, code, 0, "%s", bh_error_text(code));
}

/* What came of a nested call. Takes what it needs of *answer. */
static int conclude(const bh_callback_call *call, enum bhp_lane_end end, struct bhp_reply *answer,
                    int invalid, bh_value *reply, struct bh_problem *problem)
{
    const char *text = answer->text;

    switch (end) {
    case BHP_LANE_REPLIED:
        *reply = answer->value;
        answer->value = bh_value_null();
        return BH_OK;
    case BHP_LANE_FAILED:
        return bhi_problem_set(problem, BH_E_FAILED, answer->code, "%s", text ? text : "");
    case BHP_LANE_NO_METHOD:
        return bhi_problem_set(problem, BH_E_NOT_FOUND, 0, "the worker has no such method");
    case BHP_LANE_TOO_LARGE:
        return bhi_problem_set(problem, BH_E_TOO_LARGE, 0, "%s", text ? text : "too large");
    case BHP_LANE_INVALID:
        return bhi_problem_set(problem, invalid, 0, "%s", text ? text : bh_error_text(invalid));
    case BHP_LANE_MEMORY:
    case BHP_LANE_UNREADABLE:
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "%s",
                               text ? text : bh_error_text(BH_E_MEMORY));
    default:
        return lost(call->ticket, problem);
    }
}

int bh_callback_invoke(bh_callback_call *call, const char *method, const bh_value *arguments,
                       size_t count, bh_value *reply, struct bh_problem *problem)
{
    struct bhp_reply answer = {.value = bh_value_null()};

    *reply = bh_value_null();
    if (bhi_callback_current() != &call->frame)
        return bhi_problem_set(problem, BH_E_STATE, 0,
                               "only on the thread of the innermost callback");
    if (is_over(call->ticket))
        return lost(call->ticket, problem);
    set_runs(call->ticket, false);
    enum bhp_lane_end end = bhp_lane_nested(call->callback, method, arguments, count, &answer);
    set_runs(call->ticket, true);
    int invalid = end == BHP_LANE_INVALID ? code_of_invalid(arguments, count) : BH_OK;
    int result = conclude(call, end, &answer, invalid, reply, problem);
    bh_value_deinit(&answer.value);
    bhi_free(answer.text);
    return result;
}
