/* SPDX-License-Identifier: MIT */
/*
 * One call, from Invoke to its answer.
 *
 * Model: the arguments are copied out of their VARIANTs, but for large payloads, which a method
 * reads where they lie; the method runs under the guard, and what it answers becomes a VARIANT at
 * once, which goes when the method has returned. A method's failure is DISP_E_EXCEPTION; so is
 * everything else that a caller may do wrong, because any other HRESULT reads as a broken lane.
 *
 * Invariants: a call that comes while another is at hand (the library pumps messages) is refused,
 * but for a nested one (worker_callback.c), which has the words and the serial of the one at hand.
 * `started` is stored before any handler can run, `committed` after the whole answer. Only the
 * dispatcher's own calls touch these words, may name blobs, and are answered with blobs. Belongs to
 * the serving thread, but for progress and cancel.
 */
#include "text16.h"
#include "worker_end.h"

#include "core/alloc.h"
#include "core/partial.h"
#include "core/problem.h"

#include <inttypes.h>
#include <string.h>

struct answer {
    bool failed;
    VARIANT value;
    int32_t code;
    BSTR text;
};

static const struct bhi_channel_owner *owner; /* NULL: not serving */
static bool busy;
static struct answer answer; /* to the call at hand */
static uint64_t served;

/* The call at hand, or the last one, is the dispatcher's. Pairs with itself: a library's threads
 * report progress. */
static _Atomic bool own;

/* ---- the table of methods -------------------------------------------------------------------- */

static VARIANT methods;
static WCHAR **names;
static uint32_t name_count;

static bool keep_names(const bh_value *list)
{
    const bh_value *items = NULL;
    size_t count = 0;

    bh_value_get_array(list, &items, &count);
    names = bhi_alloc((count + 1) * sizeof *names);
    for (size_t i = 0; names != NULL && i < count; i++) {
        const bh_value *name = bh_map_get(&items[i], "name");

        names[i] = (WCHAR *)bhw_text16_new(name->as.string);
        if (names[i] == NULL)
            return false;
        name_count++;
    }
    return names != NULL;
}

int bhw_worker_methods_set(const bh_value *list, struct bh_problem *problem)
{
    if (!keep_names(list))
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory to announce the methods");
    return bhw_variant_from_value(&methods, list, NULL, problem);
}

static int32_t find_name(const WCHAR *name, BOOL ignore_case)
{
    for (uint32_t i = 0; i < name_count; i++) {
        if (CompareStringOrdinal(names[i], -1, name, -1, ignore_case) == CSTR_EQUAL)
            return (int32_t)i;
    }
    return -1;
}

int32_t bhw_worker_methods_find(const WCHAR *name)
{
    int32_t position = find_name(name, FALSE);

    return position >= 0 ? position : find_name(name, TRUE);
}

static HRESULT greet(const struct bhw_worker_invocation *invocation)
{
    const DISPPARAMS *parameters = invocation->parameters;

    if (parameters->cArgs == 1 && V_VT(&parameters->rgvarg[0]) == VT_UI8)
        /* Pairs with the dispatcher's load after its greeting. */
        atomic_store_explicit(&bhw_worker_end.box->greeted, V_UI8(&parameters->rgvarg[0]),
                              memory_order_release);
    if (invocation->result == NULL)
        return S_OK;
    VariantInit(invocation->result);
    return VariantCopy(invocation->result, &methods);
}

/* ---- answering ------------------------------------------------------------------------------- */

static void forget_answer(void)
{
    VariantClear(&answer.value);
    SysFreeString(answer.text);
    memset(&answer, 0, sizeof answer);
}

/* How large payloads of the call at hand travel; NULL: in it. */
static struct bhw_blobs *blobs(void)
{
    return own && !bhw_worker_nested() ? bhw_worker_blobs() : NULL;
}

int bhi_channel_reply(const bh_value *value, struct bh_problem *problem)
{
    const struct bh_value_limits limits = {.bytes = UINT64_MAX};
    uint64_t limit = bhw_worker_end.call->max_reply_bytes;
    size_t size;
    int error = bh_wire_size(value, 1, &limits, &size);

    if (error != BH_OK)
        return bhi_problem_set(problem, error, 0, "%s", bh_error_text(error));
    if (size > limit)
        return bhi_problem_set(problem, BH_E_TOO_LARGE, 0,
                               "%zu bytes are more than the pool's limit of %" PRIu64, size, limit);
    return bhw_variant_from_value(&answer.value, value, blobs(), problem);
}

void bhi_channel_fail(int32_t code, const char *text, size_t length)
{
    answer.failed = true;
    answer.code = code;
    answer.text = SysAllocStringLen(NULL, (UINT)bhw_text16_units(text, length));
    if (answer.text != NULL)
        bhw_text16_from_utf8((uint16_t *)answer.text, text, length);
}

void bhi_channel_progress(uint64_t done, uint64_t total)
{
    struct bhw_box_section *box = bhw_worker_end.box;

    if (!own)
        return;
    atomic_store_explicit(&box->progress_done, done, memory_order_relaxed);
    atomic_store_explicit(&box->progress_total, total, memory_order_relaxed);
    bhi_channel_alive();
}

void bhi_channel_alive(void)
{
    if (!own)
        return;
    /* Pairs with the dispatcher's load in bhp_worker_box(): it sees at least what was stored
     * before. */
    atomic_fetch_add_explicit(&bhw_worker_end.box->progress, 1, memory_order_release);
}

int bhi_channel_partial(uint64_t serial, const bh_value *value)
{
    struct bhw_box_section *box = bhw_worker_end.box;
    size_t most = bhw_worker_end.call->partial_bytes;

    if (!own) /* nobody would ever see it */
        return BH_OK;
    if (most == 0)
        return BH_E_TOO_LARGE;
    return bhi_partial_put(&box->partial, box + 1, (size_t)BHW_PARTIAL_ROOM(most), most, serial,
                           value);
}

bool bhi_channel_cancelled(uint64_t serial)
{
    /* Pairs with the dispatcher's store in bhp_worker_nudge(); nothing else hangs on it. */
    return serial != 0 &&
           atomic_load_explicit(&bhw_worker_end.call->cancel, memory_order_relaxed) == serial;
}

bool bhi_channel_forked(void)
{
    return false;
}

uintptr_t bhi_channel_thread(void)
{
    return GetCurrentThreadId();
}

int bhi_channel_thread_enter(void)
{
    return bhw_worker_stack_reserve();
}

void bhi_channel_thread_leave(void)
{
    /* What was reserved goes with the thread. */
}

/* ---- serving --------------------------------------------------------------------------------- */

void bhw_worker_calls_for(const struct bhi_channel_owner *new_owner)
{
    owner = new_owner;
}

uint64_t bhw_worker_calls_served(bool *last_is_own)
{
    *last_is_own = own;
    return served;
}

/* Whether the call that has come is the dispatcher's, and takes its serial if so. */
static bool take_serial(LCID locale)
{
    struct bhw_worker_end *end = &bhw_worker_end;
    /* Pairs with the dispatcher's store before its Invoke. */
    uint64_t serial = atomic_load_explicit(&end->call->serial, memory_order_acquire);

    if (serial == 0 || serial == end->taken ||
        (end->call->keep_registered != 0 && locale != BHW_LCID))
        return false;
    end->taken = serial;
    atomic_store_explicit(&end->box->progress_done, 0, memory_order_relaxed);
    atomic_store_explicit(&end->box->progress_total, 0, memory_order_relaxed);
    /* Pairs with the dispatcher's load in bhp_worker_box(), after the worker's end. */
    atomic_store_explicit(&end->box->started, serial, memory_order_release);
    return true;
}

/* Has the call answered, well or badly. The guard's body. */
static void handle(void *context)
{
    const struct bhw_worker_invocation *invocation = context;
    const struct bh_value_limits limits = {.bytes = bhw_worker_end.call->max_request_bytes};
    struct bhi_request request = {.serial = own ? bhw_worker_end.taken : 0,
                                  .method = (uint32_t)invocation->id - 1};
    struct bh_problem problem;
    bh_value arguments;
    int error;

    error = bhw_values_from_arguments(&arguments, invocation->parameters->rgvarg,
                                      invocation->parameters->cArgs, &limits, blobs(), &problem);
    if (error != BH_OK) {
        bhi_channel_fail(error, problem.text, strlen(problem.text));
        return;
    }
    bh_value_get_array(&arguments, &request.arguments, &request.count);
    owner->request(owner->context, &request);
    bh_value_deinit(&arguments);
}

static HRESULT raise(const struct bhw_worker_invocation *invocation, WORD word, int32_t code,
                     BSTR text)
{
    EXCEPINFO *exception = invocation->exception;

    if (exception == NULL) {
        SysFreeString(text);
        return DISP_E_EXCEPTION;
    }
    memset(exception, 0, sizeof *exception);
    exception->wCode = word;
    exception->scode = code;
    exception->bstrDescription = text;
    return DISP_E_EXCEPTION;
}

/* Hands the answer over. */
static HRESULT give_answer(const struct bhw_worker_invocation *invocation)
{
    HRESULT result = S_OK;

    if (answer.failed) {
        result = raise(invocation, 0, answer.code, answer.text);
        answer.text = NULL;
    } else if (invocation->result != NULL) {
        *invocation->result = answer.value;
        VariantInit(&answer.value);
        if (!own)
            bhw_worker_soften(invocation->result);
    }
    forget_answer();
    return result;
}

static HRESULT serve(const struct bhw_worker_invocation *invocation)
{
    struct bhw_worker_invocation call = *invocation;
    DISPPARAMS parameters = *invocation->parameters;
    HRESULT result;

    bhw_worker_fault_rearm();
    own = take_serial(invocation->locale);
    call.parameters = &parameters;
    if (own) {
        bhw_worker_blobs_begin();
        bhw_worker_callbacks_begin(&parameters);
    }
    busy = true;
    bhw_worker_guard(handle, &call);
    busy = false;
    served++;
    result = give_answer(invocation);
    if (own) {
        bhw_worker_callbacks_end();
        bhw_worker_blobs_end();
        /* Pairs with the dispatcher's load in bhp_worker_box(). */
        atomic_store_explicit(&bhw_worker_end.box->committed, bhw_worker_end.taken,
                              memory_order_release);
    }
    bhw_worker_buffers_end();
    return result;
}

/* A call of the dispatcher's while a handler waits for a callback. */
static HRESULT serve_nested(const struct bhw_worker_invocation *invocation)
{
    HRESULT result;

    const struct bhw_buffers_mark mark = bhw_worker_buffers_mark();
    bhw_worker_guard(handle, (void *)(uintptr_t)invocation);
    result = give_answer(invocation);
    bhw_worker_buffers_reset(&mark);
    bhw_worker_nested_done();
    return result;
}

/* What is wrong with a call to a method, or S_OK. */
static HRESULT look_at(const struct bhw_worker_invocation *invocation)
{
    if (invocation->id < 1 || (uint32_t)invocation->id > owner->method_count ||
        (invocation->flags & (DISPATCH_METHOD | DISPATCH_PROPERTYGET)) == 0)
        return DISP_E_MEMBERNOTFOUND;
    return invocation->parameters->cNamedArgs != 0 ? DISP_E_NONAMEDARGS : S_OK;
}

HRESULT bhw_worker_invoke(const struct bhw_worker_invocation *invocation)
{
    HRESULT flaw;

    if (owner == NULL)
        return RPC_E_DISCONNECTED;
    flaw = look_at(invocation);
    if (busy && flaw == S_OK && bhw_worker_nested_take(invocation->locale))
        return serve_nested(invocation);
    if (busy)
        return raise(invocation, BHW_WCODE_BUSY, 0,
                     SysAllocString(L"the worker is busy with another call"));
    if (invocation->id == BHW_DISPID_METHODS)
        return greet(invocation);
    return flaw == S_OK ? serve(invocation) : flaw;
}
