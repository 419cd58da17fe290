/* SPDX-License-Identifier: MIT */
/*
 * Conversations with a worker made by hand, which says what it likes when it likes: see "turn" in
 * raw_worker.c.
 */
#include "rig.h"

#include "core/alloc.h"

struct hearing {
    int called;
    enum bhp_lane_end nested;
};

/* Echoes; or, by the name "nest", calls the worker and answers whatever came of that. */
static void hear(void *context, struct bhp_callback *callback)
{
    struct hearing *hearing = context;
    struct bhp_reply reply = {.value = bh_value_null()};

    hearing->called++;
    CHECK_INT(callback->depth, 1);
    CHECK_INT(callback->count, 1);
    CHECK_INT(callback->arguments[0].as.int64, 7);
    CHECK_INT(bh_value_copy(&callback->value, &callback->arguments[0]), BH_OK);
    if (strcmp(callback->name, "nest") != 0)
        return;
    hearing->nested =
        bhp_lane_nested(callback, "echo", callback->arguments, callback->count, &reply);
    rig_drop(&reply);
}

static enum bhp_lane_end say(struct rig_worker *w, int64_t how, struct hearing *hearing,
                             struct bhp_reply *reply)
{
    bh_value argument = bh_value_int64(how);
    struct bhp_call call = {.serial = atomic_fetch_add(&w->rig->serial, 1) + 1,
                            .method = "turn",
                            .arguments = &argument,
                            .argument_count = 1,
                            .stop = &w->stop,
                            .callback = hearing != NULL ? hear : NULL,
                            .callback_context = hearing,
                            .callback_depth = 2};

    memset(reply, 0, sizeof(*reply));
    return bhp_lane_call(w->worker, &call, reply);
}

/* The worker breaks the protocol, and this is what is said of it. */
static void check_broken(int64_t how, const char *text, int called)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct hearing hearing = {0, BHP_LANE_REPLIED};
    struct bhp_reply reply;

    enum bhp_lane_end end = say(w, how, &hearing, &reply);
    printf("# %d: %d %s\n", (int)how, (int)end, reply.text != NULL ? reply.text : "");
    CHECK_INT(end, BHP_LANE_BROKEN);
    CHECK_CONTAINS(reply.text, text);
    CHECK_INT(hearing.called, called);
    if (called > 0)
        CHECK_INT(hearing.nested, BHP_LANE_LOST);
    rig_drop(&reply);
    rig_close(&rig);
}

TEST(a_proper_turn_is_answered)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct hearing hearing = {0, BHP_LANE_REPLIED};
    struct bhp_reply reply;

    for (int i = 0; i < 100; i++) {
        CHECK_INT(say(w, 0, &hearing, &reply), BHP_LANE_REPLIED);
        CHECK_INT(reply.value.as.int64, 0);
        rig_drop(&reply);
    }
    CHECK_INT(hearing.called, 100);
    rig_close(&rig);
}

TEST(one_who_was_lent_no_callbacks_may_not_call)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct bhp_reply reply;

    CHECK_INT(say(w, 0, NULL, &reply), BHP_LANE_BROKEN);
    CHECK_CONTAINS(reply.text, "was lent no callbacks");
    rig_drop(&reply);
    rig_close(&rig);
}

TEST(turns_come_in_order_and_say_their_request)
{
    check_broken(1, "out of turn", 0);
    check_broken(2, "out of turn", 0);
    check_broken(3, "out of turn", 0);
    check_broken(14, "out of turn", 0);
}

TEST(depth_is_counted_here)
{
    check_broken(4, "called back at depth 2, after 0 of at most 2", 0);
    check_broken(5, "called back at depth 0, after 0 of at most 2", 0);
    check_broken(20, "called back at depth 3, after 1 of at most 2", 1);
}

TEST(pieces_lie_in_the_half_and_are_what_they_say)
{
    check_broken(6, "makes no sense", 0);
    check_broken(7, "are allowed", 0);
    check_broken(8, "makes no sense", 0);
    check_broken(12, "makes no sense", 0);
    check_broken(13, "makes no sense", 0);
}

TEST(a_callback_has_a_name_and_values)
{
    check_broken(9, "malformed", 0);
    check_broken(10, "no name", 0);
    check_broken(11, "no name", 0);
    check_broken(15, "no name", 0);
}

TEST(answers_of_nested_calls_are_checked)
{
    check_broken(21, "malformed", 1);
    check_broken(22, "not one value", 1);
    check_broken(23, "not UTF-8", 1);
    check_broken(24, "out of turn", 1);
    check_broken(25, "are allowed", 1);
}

TEST(a_reply_instead_of_a_nested_answer_ends_the_request)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct hearing hearing = {0, BHP_LANE_REPLIED};
    struct bhp_reply reply;

    CHECK_INT(say(w, 26, &hearing, &reply), BHP_LANE_REPLIED);
    CHECK_INT(reply.value.as.int64, 26);
    CHECK_INT(hearing.nested, BHP_LANE_LOST);
    rig_drop(&reply);
    CHECK_INT(say(w, 0, &hearing, &reply), BHP_LANE_REPLIED);
    rig_drop(&reply);
    rig_close(&rig);
}

TEST(a_turn_after_the_reply_is_heard_by_nobody)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct hearing hearing = {0, BHP_LANE_REPLIED};
    struct bhp_reply reply;

    for (int i = 0; i < 50; i++) {
        CHECK_INT(say(w, 17, &hearing, &reply), BHP_LANE_REPLIED);
        CHECK_INT(reply.value.as.int64, 17);
        rig_drop(&reply);
        rig_int(w, "echo", i); /* it is done with that */
    }
    CHECK_INT(hearing.called, 0);
    rig_close(&rig);
}

TEST(noise_ends_one_way_or_the_other)
{
    for (int i = 0; i < 20; i++) {
        static struct rig rig;
        struct rig_worker *w = rig_one(&rig);
        struct hearing hearing = {0, BHP_LANE_REPLIED};
        struct bhp_reply reply;

        enum bhp_lane_end end = say(w, 16, &hearing, &reply);
        CHECK(end == BHP_LANE_REPLIED || end == BHP_LANE_BROKEN);
        rig_drop(&reply);
        rig_close(&rig);
    }
}
