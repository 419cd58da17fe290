/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing a nursery.
 *
 * Model: the constructor fills a zeroed struct step by step; the destructor takes one back that is
 * filled up to any step. There is no process in between as on Linux: each worker lives in a job of
 * its own that only this process holds, so that the worker and what it started end when the job is
 * closed, or with this process, however that ends.
 *
 * Invariants: while a nursery is open, the process has a multithreaded apartment, in which all
 * proxies live; threads that never initialised COM belong to it. Nothing here changes the host's
 * own use of COM: no CoInitializeSecurity, no registry.
 */
#include "nursery.h"

#include "core/alloc.h"
#include "core/problem.h"

typedef HRESULT(WINAPI *increment_fn)(CO_MTA_USAGE_COOKIE *cookie);
typedef HRESULT(WINAPI *decrement_fn)(CO_MTA_USAGE_COOKIE cookie);

/* A function of COM's that not every import library knows (32-bit mingw-w64). */
static FARPROC of_com(const char *name)
{
    return GetProcAddress(GetModuleHandleW(L"ole32.dll"), name);
}

static HRESULT increment_usage(CO_MTA_USAGE_COOKIE *cookie)
{
    increment_fn increment = (increment_fn)(void (*)(void))of_com("CoIncrementMTAUsage");

    return increment != NULL ? increment(cookie) : E_NOTIMPL;
}

static void decrement_usage(CO_MTA_USAGE_COOKIE cookie)
{
    decrement_fn decrement = (decrement_fn)(void (*)(void))of_com("CoDecrementMTAUsage");

    if (decrement != NULL)
        decrement(cookie);
}

static int keep_apartment(bhp_nursery *nursery, struct bh_problem *problem)
{
    char text[160];
    HRESULT result = increment_usage(&nursery->mta);

    if (SUCCEEDED(result)) {
        nursery->in_mta = true;
        return BH_OK;
    }
    return bhi_problem_set(problem, result == E_OUTOFMEMORY ? BH_E_MEMORY : BH_E_SYSTEM,
                           (int)result, "the multithreaded apartment: %s",
                           bhw_result_text(result, text, sizeof(text)));
}

static int build(bhp_nursery *nursery, const struct bh_pool_options *options,
                 struct bh_problem *problem)
{
    int rc = bhw_spec_init(&nursery->spec, options, problem);
    if (rc == BH_OK)
        rc = bhw_security_init(&nursery->security, problem);
    if (rc == BH_OK)
        rc = keep_apartment(nursery, problem);
    if (rc != BH_OK)
        return rc;
    nursery->bell = CreateEventW(NULL, FALSE, FALSE, NULL);
    return nursery->bell != NULL ? BH_OK : bhw_problem_last(problem, "an event");
}

/** See platform.h. */
int bhp_nursery_open(bhp_nursery **nursery, const struct bh_pool_options *options,
                     struct bh_problem *problem)
{
    bhp_nursery *made = bhi_alloc(sizeof(*made));

    *nursery = NULL;
    if (made == NULL)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for a nursery");
    *made = (bhp_nursery){
        .max_request_bytes = options->max_request_bytes,
        .max_reply_bytes = options->max_reply_bytes,
        .max_partial_bytes = options->max_partial_bytes,
        .callback_depth = options->max_callback_depth,
        .arena_bytes = options->lane_bytes,
        .rearm = options->rearm_handlers,
        .keep_registered = options->keep_registered,
        .dump_timeout_ms = options->dump_timeout_ms,
    };
    int rc = build(made, options, problem);
    if (rc != BH_OK) {
        bhp_nursery_close(made);
        return rc;
    }
    *nursery = made;
    return BH_OK;
}

/** See platform.h. */
void bhp_nursery_close(bhp_nursery *nursery)
{
    if (nursery == NULL)
        return;
    bhw_spec_deinit(&nursery->spec);
    bhw_security_deinit(&nursery->security);
    bhw_close(&nursery->bell);
    if (nursery->in_mta)
        decrement_usage(nursery->mta);
    bhi_free(nursery);
}

/** See platform.h. Nothing is prepared here. */
void bhp_nursery_renew(bhp_nursery *nursery)
{
    (void)nursery;
}

/** See platform.h. There are no templates here. */
bool bhp_nursery_template(bhp_nursery *nursery, struct bhp_template_news *news)
{
    (void)nursery, (void)news;
    return false;
}

/** See platform.h. Windows has no fork. */
bool bhp_nursery_forked(const bhp_nursery *nursery)
{
    (void)nursery;
    return false;
}
