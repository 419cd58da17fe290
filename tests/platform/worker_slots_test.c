/* SPDX-License-Identifier: MIT */
/*
 * The worker's side of the slots, against a dispatcher played by hand: order, answers, taking back,
 * wake-ups, and what is no dispatcher's doing.
 *
 * not-under: tsan
 */
#include "hand_lane.h"

#define SLOTS_WORKER BH_TEST_DIR "/../faults/slots_worker"

/* Fills the next slot. @return its number */
static uint64_t fill(struct hand *hand, const char *method, const bh_value *arguments, size_t count)
{
    uint64_t number = atomic_load(&hand->request->slots);
    struct bhl_request_slot *slot = &hand->request->slot[number % BHL_SLOTS];
    char *data = (char *)hand->request + BHL_HEADER_BYTES + number % BHL_SLOTS * BHL_SLOT_BYTES;
    size_t size;

    CHECK_INT(bh_wire_size(arguments, count, NULL, &size), BH_OK);
    CHECK(size <= BHL_SLOT_BYTES);
    bh_wire_write(data, size, arguments, count);
    slot->serial = ++hand->serial;
    slot->method = hand_method(hand, method);
    slot->length = (uint32_t)size;
    atomic_store(&hand->request->slots, number + 1);
    return number;
}

static uint64_t fill_echo(struct hand *hand, int64_t n)
{
    const bh_value argument = bh_value_int64(n);

    return fill(hand, "echo", &argument, 1);
}

/* The answer in a slot, which was committed. */
static const bh_value *answer_in(struct hand *hand, uint64_t number)
{
    const struct bhl_reply_slot *slot = &hand->reply->slot[number % BHL_SLOTS];
    const char *data =
        (const char *)hand->reply + BHL_HEADER_BYTES + number % BHL_SLOTS * BHL_SLOT_BYTES;

    CHECK_INT(slot->status, BHL_REPLIED);
    CHECK_INT(slot->serial, hand->request->slot[number % BHL_SLOTS].serial);
    CHECK(slot->length <= BHL_SLOT_BYTES);
    bh_value_deinit(&hand->answer);
    free(hand->answer_memory);
    hand->answer_memory = malloc(slot->length + 1);
    memcpy(hand->answer_memory, data, slot->length);
    CHECK_INT(bh_wire_view(&hand->answer, hand->answer_memory, slot->length, NULL, NULL), BH_OK);
    CHECK_INT(hand->answer.length, 1);
    return &hand->answer.as.items[0];
}

static void check_echo(struct hand *hand, uint64_t number, int64_t expected)
{
    int64_t n;

    CHECK_INT(bh_value_get_int64(answer_in(hand, number), &n), BH_OK);
    CHECK_INT(n, expected);
}

TEST(all_are_served_after_one_ring)
{
    struct hand hand = {0};

    hand_ready(&hand, MISHAPS, NULL);
    for (unsigned round = 0; round < 5; round++) {
        uint64_t first = atomic_load(&hand.request->slots);
        for (unsigned i = 0; i < BHL_SLOTS; i++)
            fill_echo(&hand, 1000 * round + i);
        hand_ring(&hand);
        CHECK(hand_wait(&hand));
        CHECK_INT(hand.reply->started, hand.serial);
        for (unsigned i = 0; i < BHL_SLOTS; i++)
            check_echo(&hand, first + i, 1000 * round + i);
    }
    const bh_value argument = bh_value_int64(9);
    CHECK_INT(hand_call_int64(&hand, "echo", &argument, 1), 9);
    hand_end(&hand);
}

TEST(one_that_was_taken_back_is_given_back)
{
    struct hand hand = {0};

    hand_ready(&hand, SLOTS_WORKER, NULL);
    const bh_value zero = bh_value_int64(0);
    uint64_t first = fill(&hand, "text", &zero, 1);
    uint64_t second = fill(&hand, "hang", NULL, 0);
    uint64_t third = fill(&hand, "text", &zero, 1);
    struct bhl_request_slot *slot = &hand.request->slot[second];
    atomic_store(&slot->revoked, slot->serial);
    hand_ring(&hand);
    CHECK(hand_wait(&hand));
    CHECK_INT(hand.reply->slot[second].status, BHL_GIVEN_BACK);
    CHECK_INT(hand.reply->slot[second].serial, slot->serial);
    CHECK_INT(answer_in(&hand, first)->type, BH_STRING);
    CHECK_INT(answer_in(&hand, third)->type, BH_STRING);
    hand_end(&hand);
}

TEST(a_single_one_comes_after_those_in_the_slots)
{
    struct hand hand = {0};
    const bh_value argument = bh_value_int64(4);

    hand_ready(&hand, MISHAPS, NULL);
    uint64_t first = fill_echo(&hand, 3);
    CHECK_INT(hand_call_int64(&hand, "echo", &argument, 1), 4);
    CHECK_INT(hand.reply->slot[first].status, BHL_REPLIED);
    CHECK_INT(hand.reply->slot[first].serial, hand.serial - 1);
    hand_end(&hand);
}

TEST(a_large_answer_comes_in_a_segment)
{
    struct hand hand = {0};
    struct bhl_control message;
    const bh_value size = bh_value_int64(5000);
    bool came;

    hand_ready(&hand, SLOTS_WORKER, NULL);
    uint64_t number = fill(&hand, "text", &size, 1);
    hand_ring(&hand);
    CHECK(hand_wait(&hand));
    CHECK_INT(hand.reply->slot[number].status, BHL_OUTSIDE);
    CHECK_INT(hand.reply->status, BHL_REPLIED);
    CHECK_INT(hand.reply->segment, hand.serial);
    CHECK(hand.reply->place != BHL_IN_HALF);
    CHECK(hand.reply->segment_bytes > 5000);
    int fd = hand_receive(&hand, &message, &came);
    CHECK(came && fd >= 0);
    CHECK_INT(message.id, hand.serial);
    CHECK_INT(message.bytes, hand.reply->segment_bytes);
    close(fd);
    uint64_t read = hand.serial;
    const bh_value zero = bh_value_int64(0);
    uint64_t next = fill(&hand, "text", &zero, 1); /* waits until the other was read */
    hand_ring(&hand);
    atomic_store(&hand.request->fetched, read);
    hand_ring(&hand);
    CHECK(hand_wait(&hand));
    CHECK_INT(answer_in(&hand, next)->type, BH_STRING);
    hand_end(&hand);
}

TEST(the_text_of_a_failure_is_cut_to_the_slot)
{
    struct hand hand = {0};
    const bh_value length = bh_value_int64(3000);

    hand_ready(&hand, SLOTS_WORKER, NULL);
    uint64_t number = fill(&hand, "fail", &length, 1);
    hand_ring(&hand);
    CHECK(hand_wait(&hand));
    CHECK_INT(hand.reply->slot[number].status, BHL_FAILED);
    CHECK_INT(hand.reply->slot[number].code, 7);
    CHECK_INT(hand.reply->slot[number].length, BHL_SLOT_BYTES);
    hand_end(&hand);
}

/* Whoever waits says so; else nobody is woken, which cannot be seen, but the bell counts. */
TEST(each_end_rings)
{
    struct hand hand = {0};

    hand_ready(&hand, MISHAPS, NULL);
    uint32_t before = hand.reply->bell;
    for (unsigned i = 0; i < 10; i++)
        fill_echo(&hand, i);
    hand_ring(&hand);
    CHECK(hand_wait(&hand));
    while (atomic_load(&hand.reply->bell) != before + 10)
        hand_nap(&hand.reply->bell, before);
    hand_end(&hand);
}

TEST(who_waits_is_woken)
{
    struct hand hand = {0};
    const bh_value argument = bh_value_int64(50);
    struct timespec most = {DEADLINE_MS / 1000, 0};

    hand_ready(&hand, MISHAPS, NULL);
    uint32_t bell = atomic_load(&hand.reply->bell);
    fill(&hand, "sleep", &argument, 1);
    hand_ring(&hand);
    atomic_store(&hand.request->waiting, 1);
    /* Woken, or too late to sleep; but not by the time. */
    long rc = syscall(SYS_futex, &hand.reply->bell, FUTEX_WAIT, bell, &most, NULL, 0);
    CHECK(rc == 0 || errno == EAGAIN);
    CHECK(hand_wait(&hand));
    hand_end(&hand);
}

static void check_death(struct hand *hand, const char *text)
{
    hand_ring(hand);
    CHECK(!hand_wait(hand));
    CHECK_CONTAINS(hand->text, text);
    CHECK_INT(WEXITSTATUS(hand->status), 70);
    hand_end(hand);
}

TEST(more_than_there_are_slots_is_nonsense)
{
    struct hand hand = {0};

    hand_ready(&hand, MISHAPS, NULL);
    hand.serial = 1;
    atomic_store(&hand.request->slots, BHL_SLOTS + 1);
    check_death(&hand, "33 requests cannot be in 32 slots");
}

TEST(arguments_past_their_slot_are_nonsense)
{
    struct hand hand = {0};

    hand_ready(&hand, MISHAPS, NULL);
    fill_echo(&hand, 1);
    hand.request->slot[0].length = BHL_SLOT_BYTES + 8;
    check_death(&hand, "do not fit into a slot");
}

TEST(a_crash_leaves_the_words_as_they_were)
{
    struct hand hand = {0};
    const bh_value kind = bh_value_view("segv");

    hand_ready(&hand, MISHAPS, NULL);
    fill_echo(&hand, 1);
    fill(&hand, "die", &kind, 1);
    fill_echo(&hand, 3);
    hand_ring(&hand);
    CHECK(!hand_wait(&hand));
    CHECK_INT(hand.reply->committed, 1);
    CHECK_INT(hand.reply->started, 2);
    hand_end(&hand);
}

TEST(a_worker_that_is_to_quit_serves_its_slots_first)
{
    struct hand hand = {0};

    hand_ready(&hand, MISHAPS, NULL);
    uint64_t first = fill_echo(&hand, 1);
    fill_echo(&hand, 2);
    atomic_store(&hand.request->quit, 1);
    hand_ring(&hand);
    CHECK(hand_wait(&hand) || hand.ended);
    if (!hand.ended)
        hand_wait_end(&hand);
    CHECK_INT(hand.reply->committed, 2);
    check_echo(&hand, first, 1);
    CHECK_INT(hand.reply->quitting, 1);
    hand_end(&hand);
}
