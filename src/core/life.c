/* SPDX-License-Identifier: MIT */
/*
 * The state × event table of a worker's life.
 *
 * Invariants, held by tests/unit/life_test.c over every cell:
 *  - EXITED leads to DEAD from everywhere, and nothing leads out of DEAD;
 *  - CONDEMN leads to KILLED from every living state;
 *  - what only our own code can cause out of order (lending a busy worker) is a BUG; what another
 *    process or a race can cause (a late READY, a timer that lost) never is.
 */
#include "life.h"

#define S(name) BH_WORKER_##name
#define A(name) BHI_ACT_##name
#define CELL(next, action)                                                                         \
    {                                                                                              \
        S(next), A(action)                                                                         \
    }

/* clang-format off */
static const struct bhi_life_move moves[BH_WORKER_STATE_COUNT][BHI_LIFE_EVENT_COUNT] = {
    /*              STARTED               READY                 LEASE                 SETTLE                CLAIM                 LEAVE                 CONDEMN             TIMEOUT               EXITED */
    [S(STARTING)] = {CELL(STARTING, NOTE), CELL(IDLE, SERVE),    CELL(STARTING, BUG),  CELL(STARTING, BUG),  CELL(STARTING, BUG),  CELL(QUITTING, QUIT), CELL(KILLED, KILL), CELL(KILLED, KILL),   CELL(DEAD, BURY)},
    [S(IDLE)]     = {CELL(IDLE, NOTHING),  CELL(IDLE, NOTHING),  CELL(BUSY, LEND),     CELL(IDLE, BUG),      CELL(IDLE, BUG),      CELL(QUITTING, QUIT), CELL(KILLED, KILL), CELL(IDLE, NOTHING),  CELL(DEAD, BURY)},
    [S(BUSY)]     = {CELL(BUSY, NOTHING),  CELL(BUSY, NOTHING),  CELL(BUSY, BUG),      CELL(IDLE, REST),     CELL(STOPPING, NUDGE), CELL(BUSY, MARK),    CELL(KILLED, KILL), CELL(BUSY, NOTHING),  CELL(DEAD, BURY)},
    [S(STOPPING)] = {CELL(STOPPING, NOTHING), CELL(STOPPING, NOTHING), CELL(STOPPING, BUG), CELL(IDLE, REST), CELL(STOPPING, NOTHING), CELL(STOPPING, MARK), CELL(KILLED, KILL), CELL(KILLED, KILL), CELL(DEAD, BURY)},
    [S(QUITTING)] = {CELL(QUITTING, NOTE), CELL(QUITTING, NOTHING), CELL(QUITTING, BUG), CELL(QUITTING, BUG), CELL(QUITTING, BUG),  CELL(QUITTING, NOTHING), CELL(KILLED, KILL), CELL(KILLED, KILL), CELL(DEAD, BURY)},
    [S(KILLED)]   = {CELL(KILLED, NOTE),   CELL(KILLED, NOTHING), CELL(KILLED, BUG),   CELL(KILLED, NOTHING), CELL(KILLED, NOTHING), CELL(KILLED, NOTHING), CELL(KILLED, NOTHING), CELL(KILLED, NOTHING), CELL(DEAD, BURY)},
    [S(DEAD)]     = {CELL(DEAD, NOTHING),  CELL(DEAD, NOTHING),  CELL(DEAD, BUG),      CELL(DEAD, NOTHING),  CELL(DEAD, NOTHING),  CELL(DEAD, NOTHING),  CELL(DEAD, NOTHING), CELL(DEAD, NOTHING), CELL(DEAD, NOTHING)},
};
/* clang-format on */

struct bhi_life_move bhi_life_move(enum bh_worker_state state, enum bhi_life_event event)
{
    return moves[state][event];
}

#define TEXT_MEMBER(name, text) text,
#define PICK(table, i) ((i) < sizeof(table) / sizeof((table)[0]) ? (table)[i] : "?")

static const char *const events[] = {BHI_LIFE_EVENT_LIST(TEXT_MEMBER)};
static const char *const actions[] = {BHI_LIFE_ACTION_LIST(TEXT_MEMBER)};

const char *bhi_life_event_name(unsigned event)
{
    return PICK(events, event);
}

const char *bhi_life_action_name(unsigned action)
{
    return PICK(actions, action);
}
