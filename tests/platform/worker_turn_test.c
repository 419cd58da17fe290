/* SPDX-License-Identifier: MIT */
/*
 * The worker's side of a conversation, against a dispatcher made by hand.
 */
#include "hand_lane.h"

#define TALK_WORKER BH_TEST_DIR "/../integration/talk_worker"

static const struct bhl_turn *said(const struct hand *hand)
{
    return &hand->reply->said;
}

/* Waits for the worker's turn number `number`. */
static void await_turn(struct hand *hand, uint64_t number)
{
    int64_t until = kit_now_ms() + (int64_t)DEADLINE_MS * kit_slowdown();

    for (;;) {
        uint32_t bell = atomic_load_explicit(&hand->reply->bell, memory_order_acquire);
        if (atomic_load_explicit(&hand->reply->turn, memory_order_acquire) == number)
            break;
        CHECK(kit_now_ms() < until);
        hand_nap(&hand->reply->bell, bell);
    }
    CHECK_INT(said(hand)->serial, hand->serial);
}

/* Says something with these values, in `aside`. */
static void speak(struct hand *hand, struct bhl_turn turn, const bh_value *values, size_t count)
{
    size_t size = 0;

    CHECK_INT(bh_wire_size(values, count, NULL, &size), BH_OK);
    CHECK(size <= BHL_ASIDE_BYTES);
    bh_wire_write(hand->request->aside, size, values, count);
    turn.serial = hand->serial;
    turn.length = turn.piece = size;
    turn.at = offsetof(struct bhl_request_half, aside);
    hand->request->said = turn;
    atomic_fetch_add_explicit(&hand->request->turn, 1, memory_order_release);
    hand_ring(hand);
}

static void publish(struct hand *hand, const char *method, const bh_value *arguments, size_t count)
{
    hand->request->callbacks = 4;
    hand_publish(hand, method, arguments, count);
}

/* Publishes ask(name) and waits for its callback. */
static void ask(struct hand *hand, uint64_t turns)
{
    bh_value name = bh_value_view("name");

    publish(hand, "ask", &name, 1);
    await_turn(hand, turns);
    CHECK_INT(said(hand)->kind, BHL_TURN_CALLBACK);
    CHECK_INT(said(hand)->depth, 1);
}

static void cancel(struct hand *hand)
{
    atomic_store(&hand->request->cancel, hand->serial);
    hand_ring(hand);
    CHECK(hand_wait(hand));
}

TEST(a_callback_says_its_name_and_takes_its_answer)
{
    static struct hand hand;
    bh_value arguments[2] = {bh_value_view("name"), bh_value_int64(5)};
    bh_value answer = bh_value_int64(6), values;

    hand_ready(&hand, TALK_WORKER, NULL);
    for (uint64_t i = 1; i < 4; i++) {
        publish(&hand, "ask", arguments, 2);
        await_turn(&hand, i);
        CHECK_INT(said(&hand)->piece, said(&hand)->length);
        CHECK(said(&hand)->at >= BHL_HEADER_BYTES && said(&hand)->at % 8 == 0);
        CHECK_INT(bh_wire_view(&values, (const char *)hand.reply + said(&hand)->at,
                               said(&hand)->length, NULL, NULL),
                  BH_OK);
        CHECK_INT(values.length, 2);
        CHECK(bh_value_equal(&values.as.items[0], &arguments[0]));
        CHECK(bh_value_equal(&values.as.items[1], &arguments[1]));
        bh_value_deinit(&values);
        speak(&hand, (struct bhl_turn){.kind = BHL_TURN_REPLIED}, &answer, 1);
        CHECK(hand_wait(&hand));
        CHECK_INT(hand_answer(&hand)->as.int64, 6);
    }
    hand_end(&hand);
}

TEST(without_callbacks_nothing_is_said)
{
    static struct hand hand;
    bh_value name = bh_value_view("name");

    hand_ready(&hand, TALK_WORKER, NULL);
    hand_publish(&hand, "ask", &name, 1);
    CHECK(hand_wait(&hand));
    CHECK_CONTAINS(hand_failure(&hand, BH_E_NOT_FOUND), "lent no callbacks");
    CHECK_INT(hand.reply->turn, 0);
    hand_end(&hand);
}

TEST(a_cancelled_handler_does_not_wait_for_its_callback)
{
    static struct hand hand;
    bh_value answer = bh_value_int64(6);

    hand_ready(&hand, TALK_WORKER, NULL);
    ask(&hand, 1);
    cancel(&hand);
    CHECK_CONTAINS(hand_failure(&hand, BH_E_CANCELLED), "BH_E_CANCELLED");
    /* The answer comes too late for anybody, and the next request is not confused by it. */
    speak(&hand, (struct bhl_turn){.kind = BHL_TURN_REPLIED}, &answer, 1);
    ask(&hand, 2);
    speak(&hand, (struct bhl_turn){.kind = BHL_TURN_REPLIED}, &answer, 1);
    CHECK(hand_wait(&hand));
    CHECK_INT(hand_answer(&hand)->as.int64, 6);
    hand_end(&hand);
}

/* The dispatcher may still be reading it. */
TEST(what_was_said_in_vain_is_not_written_over)
{
    static struct hand hand;
    static unsigned char before[HALF_BYTES];
    unsigned char *bytes = calloc(1, 50000);
    bh_value arguments[2] = {bh_value_view("name"), bh_value_view_bytes(bytes, 50000)};

    hand_ready(&hand, TALK_WORKER, NULL);
    publish(&hand, "ask_in_vain", arguments, 2);
    await_turn(&hand, 1);
    struct bhl_turn turn = *said(&hand);
    memcpy(before, (const char *)hand.reply + turn.at, turn.piece);
    cancel(&hand);
    CHECK_BYTES(before, (const char *)hand.reply + turn.at, turn.piece);
    CHECK_BYTES(&turn, said(&hand), sizeof(turn));
    CHECK_INT(hand.reply->turn, 1);
    CHECK_INT(hand.reply->status, BHL_REPLIED);
    CHECK(hand.reply->segment != 0);
    free(bytes);
    hand_end(&hand);
}

TEST(once_cancelled_no_level_says_anything_more)
{
    static struct hand hand;
    bh_value name = bh_value_view("name");

    hand_ready(&hand, TALK_WORKER, NULL);
    ask(&hand, 1);
    speak(&hand, (struct bhl_turn){.kind = BHL_TURN_CALL, .method = hand_method(&hand, "ask")},
          &name, 1);
    await_turn(&hand, 2);
    CHECK_INT(said(&hand)->kind, BHL_TURN_CALLBACK);
    CHECK_INT(said(&hand)->depth, 2);
    cancel(&hand);
    CHECK_INT(hand.reply->turn, 2);
    hand_failure(&hand, BH_E_CANCELLED);
    hand_end(&hand);
}

TEST(a_nested_call_is_answered_before_the_callback_is)
{
    static struct hand hand;
    bh_value arguments[1] = {bh_value_view("inner")}, answer = bh_value_int64(8);

    hand_ready(&hand, TALK_WORKER, NULL);
    ask(&hand, 1);
    speak(&hand, (struct bhl_turn){.kind = BHL_TURN_CALL, .method = hand_method(&hand, "echo")},
          arguments, 1);
    await_turn(&hand, 2);
    CHECK_INT(said(&hand)->kind, BHL_TURN_REPLIED);
    speak(&hand, (struct bhl_turn){.kind = BHL_TURN_CALL, .method = hand_method(&hand, "refuse")},
          &answer, 1);
    await_turn(&hand, 3);
    CHECK_INT(said(&hand)->kind, BHL_TURN_FAILED);
    CHECK_INT(said(&hand)->code, 8);
    speak(&hand, (struct bhl_turn){.kind = BHL_TURN_REPLIED}, &answer, 1);
    CHECK(hand_wait(&hand));
    CHECK_INT(hand_answer(&hand)->as.int64, 8);
    hand_end(&hand);
}

TEST(a_dispatcher_that_makes_no_sense_is_left)
{
    static struct hand hand;

    hand_ready(&hand, TALK_WORKER, NULL);
    ask(&hand, 1);
    speak(&hand, (struct bhl_turn){.kind = BHL_TURN_PIECE}, NULL, 0);
    CHECK(!hand_wait(&hand));
    CHECK_CONTAINS(hand.text, "where an answer was to come");
    hand_end(&hand);
}
