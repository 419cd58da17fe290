/* SPDX-License-Identifier: MIT */
/*
 * Callbacks, the dispatcher's side: an object that a worker calls during its request.
 *
 * Model: a request with callbacks has one more argument, an IDispatch of ours, made for this
 * request alone. It lives in the multithreaded apartment: the worker's calls arrive on threads of
 * COM's, where the core's hook answers them. A nested call is one more Invoke on the worker's
 * object, from that thread; the worker, which waits for us, takes it because the call section
 * announces it.
 *
 * Invariants: the object believes nobody. Who calls when it is not the worker's turn, by another
 * thread or from another process, is sent away; so is everybody once the request has ended, which
 * waits for the callback that runs. Then the object is disconnected: what references a worker may
 * have kept, and how many, is no matter. Its memory goes with the last reference of this process.
 */
#include "callback.h"

#include "core/alloc.h"
#include "core/problem.h"
#include "text16.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

struct bhw_talk {
    IDispatch base; /* first */
    LONG count;     /* interlocked */
    bhp_worker *worker;
    const struct bhp_call *call; /* valid until `over` */
    bhp_mutex lock;              /* guards what follows */
    bool its_turn;               /* the worker's: a callback may come */
    bool over;
    uint32_t running; /* callbacks under way, nested */
    bhp_word returns; /* changes when `running` falls */
    char flaw[160];   /* what was wrong with a callback; empty: nothing */
};

static struct bhw_talk *talk_of(IDispatch *self)
{
    return (struct bhw_talk *)(void *)self;
}

/* ---- whose turn it is ---- */

enum admission { ADMITTED, SENT_AWAY, TOO_DEEP, CLOSED };

static enum admission enter(struct bhw_talk *talk, uint32_t *depth)
{
    enum admission admission = ADMITTED;

    bhp_mutex_lock(&talk->lock);
    if (talk->over)
        admission = CLOSED;
    else if (!talk->its_turn)
        admission = SENT_AWAY;
    else if (talk->running >= talk->call->callback_depth)
        admission = TOO_DEEP;
    if (admission == ADMITTED) {
        talk->its_turn = false;
        *depth = ++talk->running;
    }
    bhp_mutex_unlock(&talk->lock);
    return admission;
}

static void leave(struct bhw_talk *talk)
{
    bhp_mutex_lock(&talk->lock);
    talk->running--;
    talk->its_turn = !talk->over;
    atomic_fetch_add(&talk->returns, 1); /* pairs with await_level() */
    bhp_word_wake(&talk->returns);
    bhp_mutex_unlock(&talk->lock);
}

/* Waits until no more than `level` callbacks are under way. With the lock held. */
static void await_level(struct bhw_talk *talk, uint32_t level)
{
    while (talk->running > level) {
        uint32_t seen = atomic_load(&talk->returns);
        bhp_mutex_unlock(&talk->lock);
        bhp_word_wait(&talk->returns, seen, BHP_FOREVER);
        bhp_mutex_lock(&talk->lock);
    }
}

/* ---- answering ---- */

static HRESULT raise(EXCEPINFO *info, WORD word, int32_t code, const char *text)
{
    if (info == NULL)
        return DISP_E_EXCEPTION;
    memset(info, 0, sizeof *info);
    info->wCode = word;
    info->scode = code;
    WCHAR *wide = (WCHAR *)bhw_text16_new(text != NULL ? text : "");
    info->bstrDescription = SysAllocString(wide != NULL ? wide : L"");
    bhi_free(wide);
    return DISP_E_EXCEPTION;
}

static HRESULT give(const struct bhp_callback *callback, VARIANT *result, EXCEPINFO *info)
{
    struct bh_problem problem;
    VARIANT value;
    int rc;

    if (callback->end == BHP_CALLBACK_FAILED)
        return raise(info, 0, callback->code, callback->text);
    if (callback->end == BHP_CALLBACK_REFUSED)
        return raise(info, BHW_WCODE_REFUSED, callback->code, callback->text);
    rc = bhw_variant_from_value(&value, &callback->value, NULL, &problem);
    if (rc != BH_OK)
        return raise(info, BHW_WCODE_REFUSED, rc, problem.text);
    if (result != NULL)
        *result = value;
    else
        VariantClear(&value);
    return S_OK;
}

static HRESULT flawed(struct bhw_talk *talk, int code, EXCEPINFO *info, const char *text)
{
    if (code == BH_E_MEMORY)
        return raise(info, BHW_WCODE_REFUSED, code, text);
    bhp_mutex_lock(&talk->lock);
    bhw_copy_text(talk->flaw, sizeof(talk->flaw), text);
    bhp_mutex_unlock(&talk->lock);
    return raise(info, BHW_WCODE_REFUSED, code, text);
}

/* The callback, which has been let in. */
static HRESULT run(struct bhw_talk *talk, uint32_t depth, const DISPPARAMS *parameters,
                   VARIANT *result, EXCEPINFO *info)
{
    struct bh_value_limits limits = {.bytes = talk->worker->nursery->max_reply_bytes};
    struct bhp_callback callback = {.depth = depth, .lane = talk, .value = bh_value_null()};
    struct bh_problem problem;
    bh_value all;
    int rc = bhw_values_from_arguments(&all, parameters->rgvarg, parameters->cArgs, &limits, NULL,
                                       &problem);

    if (rc != BH_OK)
        return flawed(talk, rc, info, problem.text);
    const bh_value *name = all.as.items;
    HRESULT answer;
    if (all.length > 0 && name->type == BH_STRING &&
        memchr(name->as.string, '\0', name->length) == NULL) {
        callback.name = name->as.string;
        callback.arguments = name + 1;
        callback.count = all.length - 1;
        talk->call->callback(talk->call->callback_context, &callback);
        answer = give(&callback, result, info);
    } else {
        answer = flawed(talk, BH_E_SYNTAX, info, "a callback without a name");
    }
    bh_value_deinit(&callback.value);
    bhi_free(callback.text);
    bh_value_deinit(&all);
    return answer;
}

/* ---- the object ---- */

static HRESULT STDMETHODCALLTYPE query_interface(IDispatch *self, REFIID interface_id, void **out)
{
    if (out == NULL)
        return E_POINTER;
    *out = NULL;
    if (!IsEqualIID(interface_id, &IID_IUnknown) && !IsEqualIID(interface_id, &IID_IDispatch))
        return E_NOINTERFACE;
    IDispatch_AddRef(self);
    *out = self;
    return S_OK;
}

static ULONG STDMETHODCALLTYPE add_reference(IDispatch *self)
{
    return (ULONG)InterlockedIncrement(&talk_of(self)->count);
}

static ULONG STDMETHODCALLTYPE release(IDispatch *self)
{
    struct bhw_talk *talk = talk_of(self);
    LONG count = InterlockedDecrement(&talk->count);

    if (count == 0) {
        bhp_mutex_deinit(&talk->lock);
        bhi_free(talk);
    }
    return (ULONG)count;
}

static HRESULT STDMETHODCALLTYPE get_type_info_count(IDispatch *self, UINT *count)
{
    (void)self;
    if (count == NULL)
        return E_POINTER;
    *count = 0;
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE get_type_info(IDispatch *self, UINT index, LCID locale,
                                               ITypeInfo **out)
{
    (void)self, (void)index, (void)locale;
    if (out != NULL)
        *out = NULL;
    return DISP_E_BADINDEX;
}

/* It has one method, by its number. */
static HRESULT STDMETHODCALLTYPE get_ids(IDispatch *self, REFIID reserved, LPOLESTR *names,
                                         UINT count, LCID locale, DISPID *ids)
{
    (void)self, (void)reserved, (void)names, (void)locale;
    for (UINT i = 0; ids != NULL && i < count; i++)
        ids[i] = DISPID_UNKNOWN;
    return DISP_E_UNKNOWNNAME;
}

static HRESULT STDMETHODCALLTYPE invoke(IDispatch *self, DISPID id, REFIID reserved, LCID locale,
                                        WORD flags, DISPPARAMS *parameters, VARIANT *result,
                                        EXCEPINFO *info, UINT *bad_argument)
{
    struct bhw_talk *talk = talk_of(self);
    uint32_t depth = 0;

    (void)reserved, (void)locale, (void)bad_argument;
    if (id != BHW_DISPID_CALLBACK || (flags & DISPATCH_METHOD) == 0)
        return DISP_E_MEMBERNOTFOUND;
    if (parameters == NULL || parameters->cNamedArgs != 0)
        return DISP_E_NONAMEDARGS;
    switch (enter(talk, &depth)) {
    case CLOSED:
        return RPC_E_DISCONNECTED;
    case SENT_AWAY:
        return raise(info, BHW_WCODE_BUSY, 0, "it is not the caller's turn");
    case TOO_DEEP:
        return raise(info, BHW_WCODE_REFUSED, BH_E_DEPTH, "callbacks nest too deep");
    default:
        break;
    }
    HRESULT answer = run(talk, depth, parameters, result, info);
    leave(talk);
    return answer;
}

static IDispatchVtbl methods = {
    .QueryInterface = query_interface,
    .AddRef = add_reference,
    .Release = release,
    .GetTypeInfoCount = get_type_info_count,
    .GetTypeInfo = get_type_info,
    .GetIDsOfNames = get_ids,
    .Invoke = invoke,
};

/* ---- the request ---- */

/** See callback.h. */
int bhw_talk_begin(struct bhw_talk **out, bhp_worker *worker, const struct bhp_call *call,
                   DISPPARAMS *parameters)
{
    struct bhw_talk *talk = bhi_alloc(sizeof(*talk));
    VARIANT *arguments = bhi_alloc((parameters->cArgs + 1) * sizeof(*arguments));

    *out = NULL;
    if (talk == NULL || arguments == NULL) {
        bhi_free(talk);
        bhi_free(arguments);
        return BH_E_MEMORY;
    }
    memset(talk, 0, sizeof(*talk));
    talk->base.lpVtbl = &methods;
    talk->count = 2; /* ours, and the argument's */
    talk->worker = worker;
    talk->call = call;
    talk->its_turn = true;
    bhp_mutex_init(&talk->lock);
    VariantInit(&arguments[0]);
    V_VT(&arguments[0]) = VT_DISPATCH;
    V_DISPATCH(&arguments[0]) = &talk->base;
    if (parameters->cArgs > 0)
        memcpy(arguments + 1, parameters->rgvarg, parameters->cArgs * sizeof(*arguments));
    bhi_free(parameters->rgvarg);
    parameters->rgvarg = arguments;
    parameters->cArgs++;
    *out = talk;
    return BH_OK;
}

/** See callback.h. */
bool bhw_talk_end(struct bhw_talk *talk, char *flaw, size_t size)
{
    bhp_mutex_lock(&talk->lock);
    talk->over = true;
    talk->its_turn = false;
    await_level(talk, 0);
    bhw_copy_text(flaw, size, talk->flaw);
    bhp_mutex_unlock(&talk->lock);
    CoDisconnectObject((IUnknown *)&talk->base, 0);
    IDispatch_Release(&talk->base);
    return flaw[0] == '\0';
}

/* ---- nested calls ---- */

static enum bhp_lane_end unsent(int code, const struct bh_problem *problem, struct bhp_reply *reply)
{
    if (code == BH_E_MEMORY)
        return BHP_LANE_MEMORY;
    return bhw_lane_say(reply, code == BH_E_TOO_LARGE ? BHP_LANE_TOO_LARGE : BHP_LANE_INVALID, "%s",
                        problem->text);
}

static enum bhp_lane_end read_nested(struct bhw_talk *talk, HRESULT result, const VARIANT *value,
                                     EXCEPINFO *info, struct bhp_reply *reply)
{
    struct bh_value_limits limits = {.bytes = talk->worker->nursery->max_reply_bytes};
    struct bh_problem problem;

    if (result == DISP_E_EXCEPTION && info->wCode != BHW_WCODE_BUSY)
        return bhw_lane_read_failure(info, reply);
    if (result != S_OK)
        return BHP_LANE_LOST;
    int rc = bhw_value_from_variant(&reply->value, value, &limits, NULL, &problem);
    if (rc == BH_OK)
        return BHP_LANE_REPLIED;
    if (rc == BH_E_MEMORY)
        return bhw_lane_say(reply, BHP_LANE_UNREADABLE, "no memory for its reply");
    flawed(talk, rc, NULL, problem.text);
    return BHP_LANE_LOST;
}

static enum bhp_lane_end invoke_nested(struct bhw_talk *talk, DISPID id, DISPPARAMS *parameters,
                                       struct bhp_reply *reply)
{
    bhp_worker *worker = talk->worker;
    EXCEPINFO info = {0};
    VARIANT value;

    VariantInit(&value);
    /* Pairs with the worker's acquire load: a call that nothing announces is a stranger's. */
    atomic_fetch_add_explicit(&worker->call->nested, 1, memory_order_release);
    HRESULT result = IDispatch_Invoke(worker->object, id, &IID_NULL, BHW_LCID, DISPATCH_METHOD,
                                      parameters, &value, &info, NULL);
    enum bhp_lane_end end = read_nested(talk, result, &value, &info, reply);
    VariantClear(&value);
    bhw_lane_clear_failure(&info);
    return end;
}

static enum bhp_lane_end send_nested(struct bhw_talk *talk, DISPID id, const bh_value *arguments,
                                     size_t count, struct bhp_reply *reply)
{
    struct bh_value_limits limits = {.bytes = talk->worker->nursery->max_request_bytes};
    DISPPARAMS parameters = {.cArgs = (UINT)count};
    struct bh_problem problem;
    int rc = count > UINT16_MAX
                 ? bhi_problem_set(&problem, BH_E_TOO_LARGE, 0, "more than 65535 arguments")
                 : bhw_arguments_from_values(&parameters.rgvarg, arguments, count, &limits, NULL,
                                             &problem);

    if (rc != BH_OK)
        return unsent(rc, &problem, reply);
    enum bhp_lane_end end = invoke_nested(talk, id, &parameters, reply);
    bhw_arguments_free(parameters.rgvarg, count);
    return end;
}

/* The worker may speak again, in what it calls nested. @return false: it is over */
static bool give_turn(struct bhw_talk *talk, uint32_t *level)
{
    bhp_mutex_lock(&talk->lock);
    bool goes_on = !talk->over;
    talk->its_turn = goes_on;
    *level = talk->running;
    bhp_mutex_unlock(&talk->lock);
    return goes_on;
}

static void take_turn(struct bhw_talk *talk, uint32_t level)
{
    bhp_mutex_lock(&talk->lock);
    talk->its_turn = false;
    await_level(talk, level); /* one that answers us while its own callback runs */
    talk->its_turn = false;
    bhp_mutex_unlock(&talk->lock);
}

/** See platform.h. */
enum bhp_lane_end bhp_lane_nested(struct bhp_callback *callback, const char *method,
                                  const bh_value *arguments, size_t argument_count,
                                  struct bhp_reply *reply)
{
    struct bhw_talk *talk = callback->lane;
    uint32_t level = 0;
    DISPID id = DISPID_UNKNOWN;

    enum bhp_lane_end end = bhw_lane_find(talk->worker, method, &id, reply);
    if (end != BHP_LANE_REPLIED)
        return end == BHP_LANE_BROKEN ? BHP_LANE_LOST : end;
    if (!give_turn(talk, &level))
        return BHP_LANE_LOST;
    end = send_nested(talk, id, arguments, argument_count, reply);
    take_turn(talk, level);
    return end;
}
