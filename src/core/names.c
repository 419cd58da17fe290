/* SPDX-License-Identifier: MIT */
/*
 * The texts of the public enums, each made from the list that makes the enum.
 *
 * Invariant: every function returns a static string, "?" for a number that is none of the enum's.
 */
#include "platform.h"

#define TEXT_MEMBER(name, text) text,
#define PICK(table, i) ((i) < sizeof(table) / sizeof((table)[0]) ? (table)[i] : "?")

static const char *const outcomes[] = {BH_OUTCOME_LIST(TEXT_MEMBER)};
static const char *const deliveries[] = {BH_DELIVERY_LIST(TEXT_MEMBER)};
static const char *const refusals[] = {BH_REFUSAL_LIST(TEXT_MEMBER)};
static const char *const phases[] = {BH_PHASE_LIST(TEXT_MEMBER)};
static const char *const causes[] = {BH_CAUSE_LIST(TEXT_MEMBER)};
static const char *const events[] = {BH_EVENT_LIST(TEXT_MEMBER)};
static const char *const states[] = {BH_WORKER_STATE_LIST(TEXT_MEMBER)};

const char *bh_outcome_name(unsigned outcome)
{
    return PICK(outcomes, outcome);
}

const char *bh_delivery_name(unsigned delivery)
{
    return PICK(deliveries, delivery);
}

const char *bh_refusal_name(unsigned refusal)
{
    return PICK(refusals, refusal);
}

const char *bh_phase_name(unsigned phase)
{
    return PICK(phases, phase);
}

const char *bh_cause_name(unsigned cause)
{
    return PICK(causes, cause);
}

const char *bh_event_name(unsigned type)
{
    return PICK(events, type);
}

const char *bh_worker_state_name(unsigned state)
{
    return PICK(states, state);
}

const char *bh_register_name(unsigned i)
{
    return bhp_register_name(i);
}
