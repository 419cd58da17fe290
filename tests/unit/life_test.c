/* SPDX-License-Identifier: MIT */
/*
 * The state × event table of a worker's life, cell by cell.
 *
 * The table below is written a second time, as a person would say it, from the laws; a change of
 * the code's table must be made here too, and thought about twice.
 */
#include "check.h"

#include "core/life.h"

#define STATES BH_WORKER_STATE_COUNT
#define EVENTS BHI_LIFE_EVENT_COUNT

#define FOR_EACH_CELL(state, event)                                                                \
    for (unsigned state = 0; state < STATES; state++)                                              \
        for (unsigned event = 0; event < EVENTS; event++)

static struct bhi_life_move move(unsigned state, unsigned event)
{
    return bhi_life_move((enum bh_worker_state)state, (enum bhi_life_event)event);
}

/* What our own code does to a worker under the lock, knowing its state. All else comes from other
 * processes, from clocks and from races. */
static bool is_our_doing(unsigned event)
{
    return event == BHI_LIFE_LEASE || event == BHI_LIFE_SETTLE || event == BHI_LIFE_CLAIM ||
           event == BHI_LIFE_HOLD || event == BHI_LIFE_RETURN || event == BHI_LIFE_FREE;
}

TEST(a_worker_that_ended_is_dead_from_everywhere_and_stays_dead)
{
    for (unsigned state = 0; state < STATES; state++) {
        CHECK_INT(move(state, BHI_LIFE_EXITED).next, BH_WORKER_DEAD);
        CHECK_INT(move(state, BHI_LIFE_EXITED).action,
                  state == BH_WORKER_DEAD ? BHI_ACT_NOTHING : BHI_ACT_BURY);
    }
    for (unsigned event = 0; event < EVENTS; event++)
        CHECK_INT(move(BH_WORKER_DEAD, event).next, BH_WORKER_DEAD);
}

TEST(only_the_end_leads_to_death)
{
    FOR_EACH_CELL(state, event)
    if (state != BH_WORKER_DEAD && event != BHI_LIFE_EXITED)
        CHECK(move(state, event).next != BH_WORKER_DEAD);
}

TEST(the_condemned_are_killed_from_every_living_state)
{
    for (unsigned state = 0; state < BH_WORKER_DEAD; state++) {
        CHECK_INT(move(state, BHI_LIFE_CONDEMN).next, BH_WORKER_KILLED);
        CHECK_INT(move(state, BHI_LIFE_CONDEMN).action,
                  state == BH_WORKER_KILLED ? BHI_ACT_NOTHING : BHI_ACT_KILL);
    }
}

TEST(nothing_but_its_end_leads_out_of_killed)
{
    for (unsigned event = 0; event < EVENTS; event++)
        if (event != BHI_LIFE_EXITED)
            CHECK_INT(move(BH_WORKER_KILLED, event).next, BH_WORKER_KILLED);
}

TEST(what_others_do_is_never_our_bug)
{
    FOR_EACH_CELL(state, event)
    if (!is_our_doing(event))
        CHECK(move(state, event).action != BHI_ACT_BUG);
}

TEST(a_bug_changes_nothing)
{
    FOR_EACH_CELL(state, event)
    if (move(state, event).action == BHI_ACT_BUG)
        CHECK_INT(move(state, event).next, state);
}

TEST(only_an_idle_worker_or_a_sessions_own_is_lent)
{
    for (unsigned state = 0; state < STATES; state++) {
        bool own = state == BH_WORKER_LEASED;
        bool idle = state == BH_WORKER_IDLE;
        CHECK_INT(move(state, BHI_LIFE_LEASE).action, own || idle ? BHI_ACT_LEND : BHI_ACT_BUG);
        CHECK_INT(move(state, BHI_LIFE_HOLD).action, idle ? BHI_ACT_LEND : BHI_ACT_BUG);
    }
    CHECK_INT(move(BH_WORKER_IDLE, BHI_LIFE_LEASE).next, BH_WORKER_BUSY);
    CHECK_INT(move(BH_WORKER_LEASED, BHI_LIFE_LEASE).next, BH_WORKER_BUSY);
    CHECK_INT(move(BH_WORKER_IDLE, BHI_LIFE_HOLD).next, BH_WORKER_LEASED);
}

/* Else a session's state would be lost, or shown to others. */
TEST(a_leased_worker_is_idle_only_when_its_session_is_over)
{
    for (unsigned event = 0; event < EVENTS; event++) {
        bool idle = move(BH_WORKER_LEASED, event).next == BH_WORKER_IDLE;
        CHECK_INT(idle, event == BHI_LIFE_FREE);
    }
}

/* By a letter per event: STARTED READY LEASE SETTLE CLAIM LEAVE CONDEMN TIMEOUT EXITED HOLD RETURN
 * FREE. */
struct row {
    enum bh_worker_state state;
    const char
        *next; /* s starting, i idle, l leased, b busy, t stopping, q quitting, k killed, d dead */
    const char *actions; /* - N S L R K n q m k B !, in the order of the list of actions */
};

static const struct row rows[] = {
    {BH_WORKER_STARTING, "sisssqkkdsss", "NS!!!qkkB!!!"},
    {BH_WORKER_IDLE, "iibiiqkidlii", "--L!!qk-BL!!"},
    {BH_WORKER_LEASED, "llblllkldlli", "--L!!mk-B!!R"},
    {BH_WORKER_BUSY, "bbbitbkbdblb", "--!Rnmk-B!K!"},
    {BH_WORKER_STOPPING, "tttittkkdtlt", "--!R-mkkB!K!"},
    {BH_WORKER_QUITTING, "qqqqqqkkdqqq", "N-!!!-kkB!!!"},
    {BH_WORKER_KILLED, "kkkkkkkkdkkk", "N-!-----B!--"},
    {BH_WORKER_DEAD, "dddddddddddd", "--!------!--"},
};

TEST(every_cell_is_as_it_was_meant)
{
    static const char states[] = "silbtqkd";
    static const char actions[] = "-NSLRKnqmkB!";

    CHECK_INT(sizeof(rows) / sizeof(rows[0]), STATES);
    FOR_EACH_CELL(state, event)
    {
        struct bhi_life_move got = move(state, event);
        CHECK_INT(rows[state].state, state);
        if (states[got.next] != rows[state].next[event] ||
            actions[got.action] != rows[state].actions[event])
            FAIL("%s × %s: %s, %s", bh_worker_state_name(state), bhi_life_event_name(event),
                 bh_worker_state_name(got.next), bhi_life_action_name(got.action));
    }
}

TEST(every_name_is_known_and_no_other)
{
    CHECK_STR(bhi_life_event_name(BHI_LIFE_STARTED), "started");
    CHECK_STR(bhi_life_event_name(BHI_LIFE_EXITED), "exited");
    CHECK_STR(bhi_life_event_name(BHI_LIFE_EVENT_COUNT), "?");
    CHECK_STR(bhi_life_action_name(BHI_ACT_NOTHING), "-");
    CHECK_STR(bhi_life_action_name(BHI_ACT_BUG), "bug");
    CHECK_STR(bhi_life_action_name(BHI_LIFE_ACTION_COUNT), "?");
    CHECK_STR(bh_worker_state_name(BH_WORKER_DEAD), "dead");
    CHECK_STR(bh_worker_state_name(BH_WORKER_STATE_COUNT), "?");
}
