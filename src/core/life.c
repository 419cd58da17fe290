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
    [S(STARTING)] = {
        /* STARTED */ CELL(STARTING, NOTE),    /* READY   */ CELL(IDLE, SERVE),       /* LEASE   */ CELL(STARTING, BUG),
        /* SETTLE  */ CELL(STARTING, BUG),     /* CLAIM   */ CELL(STARTING, BUG),     /* LEAVE   */ CELL(QUITTING, QUIT),
        /* CONDEMN */ CELL(KILLED, KILL),      /* TIMEOUT */ CELL(KILLED, KILL),      /* EXITED  */ CELL(DEAD, BURY),
        /* HOLD    */ CELL(STARTING, BUG),     /* RETURN  */ CELL(STARTING, BUG),     /* FREE    */ CELL(STARTING, BUG),
    },
    [S(IDLE)] = {
        /* STARTED */ CELL(IDLE, NOTHING),     /* READY   */ CELL(IDLE, NOTHING),     /* LEASE   */ CELL(BUSY, LEND),
        /* SETTLE  */ CELL(IDLE, BUG),         /* CLAIM   */ CELL(IDLE, BUG),         /* LEAVE   */ CELL(QUITTING, QUIT),
        /* CONDEMN */ CELL(KILLED, KILL),      /* TIMEOUT */ CELL(IDLE, NOTHING),     /* EXITED  */ CELL(DEAD, BURY),
        /* HOLD    */ CELL(LEASED, LEND),      /* RETURN  */ CELL(IDLE, BUG),         /* FREE    */ CELL(IDLE, BUG),
    },
    [S(LEASED)] = {
        /* STARTED */ CELL(LEASED, NOTHING),   /* READY   */ CELL(LEASED, NOTHING),   /* LEASE   */ CELL(BUSY, LEND),
        /* SETTLE  */ CELL(LEASED, BUG),       /* CLAIM   */ CELL(LEASED, BUG),       /* LEAVE   */ CELL(LEASED, MARK),
        /* CONDEMN */ CELL(KILLED, KILL),      /* TIMEOUT */ CELL(LEASED, NOTHING),   /* EXITED  */ CELL(DEAD, BURY),
        /* HOLD    */ CELL(LEASED, BUG),       /* RETURN  */ CELL(LEASED, BUG),       /* FREE    */ CELL(IDLE, REST),
    },
    [S(BUSY)] = {
        /* STARTED */ CELL(BUSY, NOTHING),     /* READY   */ CELL(BUSY, NOTHING),     /* LEASE   */ CELL(BUSY, BUG),
        /* SETTLE  */ CELL(IDLE, REST),        /* CLAIM   */ CELL(STOPPING, NUDGE),   /* LEAVE   */ CELL(BUSY, MARK),
        /* CONDEMN */ CELL(KILLED, KILL),      /* TIMEOUT */ CELL(BUSY, NOTHING),     /* EXITED  */ CELL(DEAD, BURY),
        /* HOLD    */ CELL(BUSY, BUG),         /* RETURN  */ CELL(LEASED, KEEP),      /* FREE    */ CELL(BUSY, BUG),
    },
    [S(STOPPING)] = {
        /* STARTED */ CELL(STOPPING, NOTHING), /* READY   */ CELL(STOPPING, NOTHING), /* LEASE   */ CELL(STOPPING, BUG),
        /* SETTLE  */ CELL(IDLE, REST),        /* CLAIM   */ CELL(STOPPING, NOTHING), /* LEAVE   */ CELL(STOPPING, MARK),
        /* CONDEMN */ CELL(KILLED, KILL),      /* TIMEOUT */ CELL(KILLED, KILL),      /* EXITED  */ CELL(DEAD, BURY),
        /* HOLD    */ CELL(STOPPING, BUG),     /* RETURN  */ CELL(LEASED, KEEP),      /* FREE    */ CELL(STOPPING, BUG),
    },
    [S(QUITTING)] = {
        /* STARTED */ CELL(QUITTING, NOTE),    /* READY   */ CELL(QUITTING, NOTHING), /* LEASE   */ CELL(QUITTING, BUG),
        /* SETTLE  */ CELL(QUITTING, BUG),     /* CLAIM   */ CELL(QUITTING, BUG),     /* LEAVE   */ CELL(QUITTING, NOTHING),
        /* CONDEMN */ CELL(KILLED, KILL),      /* TIMEOUT */ CELL(KILLED, KILL),      /* EXITED  */ CELL(DEAD, BURY),
        /* HOLD    */ CELL(QUITTING, BUG),     /* RETURN  */ CELL(QUITTING, BUG),     /* FREE    */ CELL(QUITTING, BUG),
    },
    [S(KILLED)] = {
        /* STARTED */ CELL(KILLED, NOTE),      /* READY   */ CELL(KILLED, NOTHING),   /* LEASE   */ CELL(KILLED, BUG),
        /* SETTLE  */ CELL(KILLED, NOTHING),   /* CLAIM   */ CELL(KILLED, NOTHING),   /* LEAVE   */ CELL(KILLED, NOTHING),
        /* CONDEMN */ CELL(KILLED, NOTHING),   /* TIMEOUT */ CELL(KILLED, NOTHING),   /* EXITED  */ CELL(DEAD, BURY),
        /* HOLD    */ CELL(KILLED, BUG),       /* RETURN  */ CELL(KILLED, NOTHING),   /* FREE    */ CELL(KILLED, NOTHING),
    },
    [S(DEAD)] = {
        /* STARTED */ CELL(DEAD, NOTHING),     /* READY   */ CELL(DEAD, NOTHING),     /* LEASE   */ CELL(DEAD, BUG),
        /* SETTLE  */ CELL(DEAD, NOTHING),     /* CLAIM   */ CELL(DEAD, NOTHING),     /* LEAVE   */ CELL(DEAD, NOTHING),
        /* CONDEMN */ CELL(DEAD, NOTHING),     /* TIMEOUT */ CELL(DEAD, NOTHING),     /* EXITED  */ CELL(DEAD, NOTHING),
        /* HOLD    */ CELL(DEAD, BUG),         /* RETURN  */ CELL(DEAD, NOTHING),     /* FREE    */ CELL(DEAD, NOTHING),
    },
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
