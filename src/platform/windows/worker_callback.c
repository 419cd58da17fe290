/* SPDX-License-Identifier: MIT */
/*
 * Callbacks, the worker's side: a call on the dispatcher's object, and what comes meanwhile.
 *
 * Model: a request with callbacks has the dispatcher's object as its last argument. Calling it is
 * an outgoing call of this single-threaded apartment: COM runs its message loop until the answer is
 * there, and by that a nested request comes in. It is taken only while the handler waits for a
 * callback, and only if the call section announces it; everybody else is told that the worker is
 * busy, as ever.
 *
 * Invariants: payloads travel in the call itself, because the arenas hold what the outer request
 * has in place. `waits` is true only while this thread is inside the outgoing call and no nested
 * request runs. Belongs to the serving thread.
 */
#include "worker_end.h"

#include "core/alloc.h"
#include "core/problem.h"

#include <inttypes.h>
#include <string.h>

static IDispatch *lane; /* of the request at hand; NULL: it was lent no callbacks */
static uint32_t depth;  /* callbacks that its handlers wait for */
static bool waits;
static uint64_t taken; /* the last nested call that was announced */

/* ---- the request at hand --------------------------------------------------------------------- */

void bhw_worker_callbacks_begin(DISPPARAMS *parameters)
{
    VARIANT *last = parameters->rgvarg;

    lane = NULL;
    depth = 0;
    waits = false;
    /* Pairs with the dispatcher's release before a nested call; nothing is announced by now. */
    taken = atomic_load_explicit(&bhw_worker_end.call->nested, memory_order_acquire);
    if (parameters->cArgs == 0 || V_VT(last) != VT_DISPATCH)
        return;
    lane = V_DISPATCH(last);
    parameters->rgvarg++;
    parameters->cArgs--;
}

void bhw_worker_callbacks_end(void)
{
    lane = NULL;
}

bool bhw_worker_nested(void)
{
    return depth > 0 && !waits;
}

bool bhw_worker_nested_take(LCID locale)
{
    /* Pairs with the dispatcher's release before its Invoke. */
    uint64_t announced = atomic_load_explicit(&bhw_worker_end.call->nested, memory_order_acquire);

    if (!waits || locale != BHW_LCID || announced == taken)
        return false;
    taken = announced;
    waits = false;
    return true;
}

void bhw_worker_nested_done(void)
{
    waits = true;
}

/* ---- calling --------------------------------------------------------------------------------- */

static int cancelled(struct bh_problem *problem)
{
    return bhi_problem_set(problem, BH_E_CANCELLED, 0, "%s", bh_error_text(BH_E_CANCELLED));
}

static void clear_failure(EXCEPINFO *info)
{
    SysFreeString(info->bstrSource);
    SysFreeString(info->bstrDescription);
    SysFreeString(info->bstrHelpFile);
}

static int read_failure(const EXCEPINFO *info, struct bh_problem *problem)
{
    bool failed = info->wCode != BHW_WCODE_REFUSED;
    VARIANT text = {.vt = VT_BSTR};
    bh_value said = bh_value_null();
    int code = failed ? BH_E_FAILED : info->scode;

    text.bstrVal = info->bstrDescription;
    if (info->bstrDescription != NULL)
        bhw_value_from_variant(&said, &text, NULL, NULL, NULL);
    bhi_problem_set(problem, code, failed ? info->scode : 0, "%s",
                    said.type == BH_STRING ? said.as.string : "");
    bh_value_deinit(&said);
    return code;
}

/* What came of the call. */
static int read_answer(HRESULT result, const VARIANT *value, const EXCEPINFO *info, bh_value *reply,
                       struct bh_problem *problem)
{
    struct bh_value_limits limits = {.bytes = UINT64_MAX};

    if (bhi_channel_cancelled(bhw_worker_end.taken))
        return cancelled(problem);
    if (result == S_OK)
        return bhw_value_from_variant(reply, value, &limits, NULL, problem);
    if (result == DISP_E_EXCEPTION)
        return read_failure(info, problem);
    return bhi_problem_set(problem, BH_E_SYSTEM, (int)result,
                           "the way to the dispatcher is gone: 0x%08lx", (unsigned long)result);
}

static int call_out(DISPPARAMS *parameters, bh_value *reply, struct bh_problem *problem)
{
    EXCEPINFO info = {0};
    VARIANT value;
    HRESULT result;
    int error;

    VariantInit(&value);
    depth++;
    waits = true;
    result = IDispatch_Invoke(lane, BHW_DISPID_CALLBACK, &IID_NULL, BHW_LCID, DISPATCH_METHOD,
                              parameters, &value, &info, NULL);
    waits = false;
    depth--;
    error = read_answer(result, &value, &info, reply, problem);
    VariantClear(&value);
    clear_failure(&info);
    return error;
}

/* The name and the arguments as one list. */
static int write_question(const struct bhi_question *question, DISPPARAMS *parameters,
                          struct bh_problem *problem)
{
    struct bh_value_limits limits = {.bytes = bhw_worker_end.call->max_reply_bytes};
    bh_value *all = bhi_alloc((question->count + 1) * sizeof *all);
    int error;

    if (all == NULL)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for the arguments");
    all[0] = bh_value_view(question->name);
    if (question->count > 0)
        memcpy(all + 1, question->arguments, question->count * sizeof *all);
    parameters->cArgs = (UINT)question->count + 1;
    error = bhw_arguments_from_values(&parameters->rgvarg, all, question->count + 1, &limits, NULL,
                                      problem);
    bhi_free(all);
    return error;
}

int bhi_channel_call_back(const struct bhi_question *question, bh_value *reply,
                          struct bh_problem *problem)
{
    uint32_t most = bhw_worker_end.call->callback_depth;
    DISPPARAMS parameters = {0};
    int error;

    if (lane == NULL)
        return bhi_problem_set(problem, BH_E_NOT_FOUND, 0, "the caller lent no callbacks");
    if (depth >= most)
        return bhi_problem_set(problem, BH_E_DEPTH, 0,
                               "callbacks nest deeper than the pool's limit of %" PRIu32, most);
    if (bhi_channel_cancelled(bhw_worker_end.taken))
        return cancelled(problem);
    if (question->count >= UINT16_MAX)
        return bhi_problem_set(problem, BH_E_TOO_LARGE, 0, "more than 65534 arguments");
    error = write_question(question, &parameters, problem);
    if (error != BH_OK)
        return error;
    error = call_out(&parameters, reply, problem);
    bhw_arguments_free(parameters.rgvarg, parameters.cArgs);
    return error;
}
