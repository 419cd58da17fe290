/* SPDX-License-Identifier: MIT */
/*
 * One request to one worker, on the caller's own thread: one Invoke.
 *
 * Model: the arguments become VARIANTs, the serial is left where the worker finds it, Invoke blocks
 * until the worker has answered or is gone. The DISPID of a method is asked for once with
 * GetIDsOfNames; it must be the one that the announced table implies.
 *
 * Invariants: only S_OK and DISP_E_EXCEPTION come from a handler. A call that failed in transport
 * ends its worker: the process may have outlived its fault, since COM's stub catches exceptions
 * that nobody else does, and a faulted worker never serves again. A call after the worker's end is
 * not made; one that is blocked ends with the process. Callers in an apartment of their own lend
 * their request to the worker's deputy, because a call from a single-threaded apartment would run
 * the host's message loop from inside bh_pool_call().
 */
#include "lane.h"

#include "callback.h"
#include "core/alloc.h"
#include "core/problem.h"
#include "deputy.h"
#include "text16.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* The longest text of a failure. */
#define TEXT_MOST 4096
/* The way to a dying worker is gone a little before the worker is. */
#define DYING_MS 500
/* Between tries when the worker serves another client. */
#define BUSY_PAUSE (2 * BHW_MS)

/** See lane.h. */
enum bhp_lane_end bhw_lane_say(struct bhp_reply *reply, enum bhp_lane_end end, const char *format,
                               ...)
{
    struct bh_problem text;
    va_list arguments;

    va_start(arguments, format);
    bhi_problem_setv(&text, BH_E_SYNTAX, 0, format, arguments);
    va_end(arguments);
    size_t size = strlen(text.text) + 1;
    reply->text = bhi_alloc(size); /* without memory the end must speak for itself */
    if (reply->text != NULL)
        memcpy(reply->text, text.text, size);
    return end;
}

/* ---- what COM says when it is not the handler ---- */

/* The way to the worker is gone. One that is dying shall say itself what of; a fault that COM's
 * stub has swallowed leaves the process alive for certain. */
static enum bhp_lane_end lose(bhp_worker *worker, HRESULT result)
{
    HANDLE process = atomic_load(&worker->process);
    char text[120];

    if (result == RPC_E_SERVERFAULT || WaitForSingleObject(process, DYING_MS) != WAIT_OBJECT_0)
        bhw_worker_blame(worker, "its call failed with %s, and the process lived on",
                         bhw_result_text(result, text, sizeof(text)));
    return BHP_LANE_LOST;
}

/* Whether a handler may have seen the request. */
static bool was_started(const bhp_worker *worker, uint64_t serial)
{
    return atomic_load_explicit(&worker->box->started, memory_order_acquire) == serial;
}

static enum bhp_lane_end refused(bhp_worker *worker, uint64_t serial, HRESULT result,
                                 struct bhp_reply *reply)
{
    char text[120];

    if (bhw_lane_is_transport(result))
        return lose(worker, result);
    if (result == DISP_E_MEMBERNOTFOUND || result == DISP_E_UNKNOWNNAME)
        return BHP_LANE_NO_METHOD;
    if (result == E_OUTOFMEMORY && !was_started(worker, serial))
        return BHP_LANE_MEMORY;
    return bhw_lane_say(reply, BHP_LANE_BROKEN, "its object answered %s",
                        bhw_result_text(result, text, sizeof(text)));
}

/* ---- the answer ---- */

/* A new text, cut to fit; NULL without memory. */
static char *text_of(const BSTR description)
{
    UINT units = description != NULL ? SysStringLen(description) : 0;
    size_t size = 3 * (size_t)units + 1 < TEXT_MOST ? 3 * (size_t)units + 1 : TEXT_MOST;
    char *text = bhi_alloc(size);

    if (text != NULL)
        bhw_narrow(text, size, units > 0 ? description : L"", units);
    return text;
}

/** See lane.h. Some languages give a small number instead of an HRESULT. */
enum bhp_lane_end bhw_lane_read_failure(const EXCEPINFO *info, struct bhp_reply *reply)
{
    reply->code = info->scode != 0 ? info->scode : info->wCode;
    reply->text = text_of(info->bstrDescription);
    return reply->text != NULL
               ? BHP_LANE_FAILED
               : bhw_lane_say(reply, BHP_LANE_UNREADABLE, "no memory for the text of a failure");
}

/** See lane.h. */
void bhw_lane_clear_failure(EXCEPINFO *info)
{
    SysFreeString(info->bstrSource);
    SysFreeString(info->bstrDescription);
    SysFreeString(info->bstrHelpFile);
    *info = (EXCEPINFO){0};
}

static enum bhp_lane_end read_value(const bhp_worker *worker, const VARIANT *result,
                                    struct bhw_blob_run *run, struct bhp_reply *reply)
{
    struct bh_value_limits limits = {.bytes = worker->nursery->max_reply_bytes};
    struct bh_problem problem;

    int rc = bhw_value_from_variant(&reply->value, result, &limits, &run->blobs, &problem);
    if (rc == BH_OK)
        return BHP_LANE_REPLIED;
    if (rc == BH_E_MEMORY)
        return bhw_lane_say(reply, BHP_LANE_UNREADABLE, "no memory for its reply");
    return bhw_lane_say(reply, BHP_LANE_BROKEN, "its reply: %s", problem.text);
}

/* ---- the call ---- */

/* Asks once for each method of each worker. REPLIED: it is known. */
static enum bhp_lane_end look_up(bhp_worker *worker, const char *method, int64_t position,
                                 struct bhp_reply *reply)
{
    DISPID id = DISPID_UNKNOWN;

    if (worker->dispids[position] != 0)
        return BHP_LANE_REPLIED;
    WCHAR *name = (WCHAR *)bhw_text16_new(method);
    if (name == NULL)
        return BHP_LANE_MEMORY;
    HRESULT result =
        IDispatch_GetIDsOfNames(worker->object, &IID_NULL, &name, 1, LOCALE_USER_DEFAULT, &id);
    bhi_free(name);
    if (FAILED(result))
        return refused(worker, UINT64_MAX, result, reply); /* no serial was sent */
    if (id != position + 1)
        return bhw_lane_say(reply, BHP_LANE_BROKEN,
                            "it calls its method number %" PRIi64 " by the DISPID %ld",
                            position + 1, (long)id);
    worker->dispids[position] = id;
    return BHP_LANE_REPLIED;
}

static HRESULT invoke_once(bhp_worker *worker, uint64_t serial, DISPID id, DISPPARAMS *parameters,
                           VARIANT *value, EXCEPINFO *info)
{
    struct bhw_call_section *words = worker->call;

    /* Both pair with the worker's acquire loads. */
    atomic_store_explicit(&words->serial, serial, memory_order_release);
    HRESULT result = IDispatch_Invoke(worker->object, id, &IID_NULL, BHW_LCID, DISPATCH_METHOD,
                                      parameters, value, info, NULL);
    if (result == S_OK || result == DISP_E_EXCEPTION)
        atomic_store_explicit(&worker->answered, serial, memory_order_relaxed);
    /* Pairs with await_return(), and with the worker's load. */
    atomic_store_explicit(&words->received, serial, memory_order_release);
    WakeByAddressAll(&words->received);
    return result;
}

/* Another client is served first. */
static bool is_busy(HRESULT result, const EXCEPINFO *info)
{
    return result == DISP_E_EXCEPTION && info->wCode == BHW_WCODE_BUSY;
}

/* Tries until the worker has time. @return false: it has ended meanwhile */
static bool invoke_in_turn(bhp_worker *worker, const struct bhp_call *call, DISPID id,
                           DISPPARAMS *parameters, VARIANT *value, EXCEPINFO *info, HRESULT *result)
{
    *result = invoke_once(worker, call->serial, id, parameters, value, info);
    while (is_busy(*result, info)) {
        bhw_lane_clear_failure(info);
        bhp_word_wait(call->stop, 0, bhp_now() + BUSY_PAUSE);
        /* Pairs with the store before bhp_word_wake(), and with finish_if_over(). */
        if (atomic_load(call->stop) != 0 || atomic_load(&worker->ended))
            return false;
        *result = invoke_once(worker, call->serial, id, parameters, value, info);
    }
    return true;
}

static enum bhp_lane_end invoke(bhp_worker *worker, const struct bhp_call *call, DISPID id,
                                DISPPARAMS *parameters, struct bhw_blob_run *run,
                                struct bhp_reply *reply)
{
    enum bhp_lane_end end;
    EXCEPINFO info = {0};
    VARIANT value;
    HRESULT result;

    VariantInit(&value);
    if (!invoke_in_turn(worker, call, id, parameters, &value, &info, &result))
        return BHP_LANE_LOST;
    if (result == S_OK)
        end = read_value(worker, &value, run, reply);
    else if (result == DISP_E_EXCEPTION)
        end = bhw_lane_read_failure(&info, reply);
    else
        end = refused(worker, call->serial, result, reply);
    VariantClear(&value);
    bhw_lane_clear_failure(&info);
    return end;
}

/* The arguments cannot go; the code says why. */
static enum bhp_lane_end unsent(int code, const struct bh_problem *problem, struct bhp_reply *reply)
{
    switch (code) {
    case BH_E_MEMORY:
        return BHP_LANE_MEMORY;
    case BH_E_SYSTEM: /* an arena could not be given to a worker that has ended */
        return BHP_LANE_LOST;
    case BH_E_TOO_LARGE:
        return bhw_lane_say(reply, BHP_LANE_TOO_LARGE, "%s", problem->text);
    default:
        return bhw_lane_say(reply, BHP_LANE_INVALID, "%s", problem->text);
    }
}

/* Whatever it answered: what it called back was wrong. */
static enum bhp_lane_end broken_by(const char *flaw, struct bhp_reply *reply)
{
    bh_value_deinit(&reply->value);
    reply->value = bh_value_null();
    bhi_free(reply->text);
    reply->text = NULL;
    return bhw_lane_say(reply, BHP_LANE_BROKEN, "its callback: %s", flaw);
}

static enum bhp_lane_end send(bhp_worker *worker, const struct bhp_call *call, DISPID id,
                              struct bhp_reply *reply)
{
    struct bh_value_limits limits = {.bytes = worker->nursery->max_request_bytes};
    struct bh_problem problem;
    struct bhw_blob_run run;
    DISPPARAMS parameters = {.cArgs = (UINT)call->argument_count};
    struct bhw_talk *talk = NULL;
    char flaw[160];
    enum bhp_lane_end end;

    bhw_blobs_begin(&run, worker, call);
    int rc = call->argument_count > UINT16_MAX
                 ? bhi_problem_set(&problem, BH_E_TOO_LARGE, 0, "more than 65535 arguments")
                 : bhw_arguments_from_values(&parameters.rgvarg, call->arguments,
                                             call->argument_count, &limits, &run.blobs, &problem);
    bool made = rc == BH_OK;
    if (made && call->callback != NULL)
        rc = bhw_talk_begin(&talk, worker, call, &parameters);
    if (rc == BH_OK)
        end = invoke(worker, call, id, &parameters, &run, reply);
    else
        end = unsent(rc, &problem, reply);
    bhw_blobs_end(&run, end, reply);
    if (talk != NULL && !bhw_talk_end(talk, flaw, sizeof(flaw)))
        end = broken_by(flaw, reply);
    if (made)
        bhw_arguments_free(parameters.rgvarg, parameters.cArgs);
    return end;
}

/** See lane.h. */
enum bhp_lane_end bhw_lane_find(bhp_worker *worker, const char *method, DISPID *id,
                                struct bhp_reply *reply)
{
    int64_t position = bhi_methods_find(&worker->methods, method);

    if (position < 0)
        return BHP_LANE_NO_METHOD;
    if (atomic_load(&worker->ended)) /* pairs with finish_if_over() */
        return BHP_LANE_LOST;
    enum bhp_lane_end end = look_up(worker, method, position, reply);
    *id = worker->dispids[position];
    return end;
}

/** See lane.h. */
enum bhp_lane_end bhw_lane_call(bhp_worker *worker, const struct bhp_call *call,
                                struct bhp_reply *reply)
{
    DISPID id = DISPID_UNKNOWN;
    enum bhp_lane_end end = bhw_lane_find(worker, call->method, &id, reply);

    return end == BHP_LANE_REPLIED ? send(worker, call, id, reply) : end;
}

/* Whether the calling thread is in another apartment than the proxies. One that never initialised
 * COM is in none, and takes part in the multithreaded one. */
static bool is_elsewhere(void)
{
    APTTYPEQUALIFIER qualifier;
    APTTYPE type;

    return SUCCEEDED(CoGetApartmentType(&type, &qualifier)) && type != APTTYPE_MTA;
}

/** See platform.h. */
enum bhp_lane_end bhp_lane_call(bhp_worker *worker, const struct bhp_call *call,
                                struct bhp_reply *reply)
{
    enum bhp_lane_end end =
        is_elsewhere() ? bhw_deputy_call(worker, call, reply) : bhw_lane_call(worker, call, reply);

    reply->kept = bhw_blobs_kept(worker);
    return end;
}
