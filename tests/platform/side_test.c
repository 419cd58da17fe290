/* SPDX-License-Identifier: MIT */
/*
 * Payloads beside the message of a reply, in memory that a hostile worker has made and can write
 * to: proper ones, and every way to get them wrong.
 */
#include "rig.h"

#include "core/utf8.h"

static enum bhp_lane_end call(struct rig_worker *w, const char *method, int64_t number, bool borrow,
                              struct bhp_reply *reply)
{
    bh_value argument = bh_value_int64(number);
    struct bhp_call call = {.serial = atomic_fetch_add(&w->rig->serial, 1) + 1,
                            .method = method,
                            .arguments = &argument,
                            .argument_count = 1,
                            .stop = &w->stop,
                            .borrow = borrow};

    memset(reply, 0, sizeof(*reply));
    return bhp_lane_call(w->worker, &call, reply);
}

static void drop(struct bhp_reply *reply)
{
    bhp_memory_free(reply->borrowed);
    rig_drop(reply);
}

static void expect_broken(struct rig_worker *w, const char *method, int64_t number,
                          const char *text)
{
    struct bhp_reply reply;

    enum bhp_lane_end end = call(w, method, number, true, &reply);
    if (end != BHP_LANE_BROKEN)
        FAIL("%s(%lld) ended with %d", method, (long long)number, (int)end);
    CHECK_CONTAINS(reply.text, text);
    CHECK(reply.borrowed == NULL);
    drop(&reply);
}

/* The lane itself goes on; it is the core that kills. */
static void check_broken(const char *method, int64_t number, const char *text)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);

    expect_broken(w, method, number, text);
    CHECK_INT(rig_int(w, "echo", 3), 3);
    rig_close(&rig);
}

TEST(a_payload_beside_the_message_is_copied_or_borrowed)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct bhp_reply reply;

    for (int borrow = 0; borrow < 2; borrow++) {
        CHECK_INT(call(w, "aside", 0, borrow == 1, &reply), BHP_LANE_REPLIED);
        CHECK_INT(reply.borrowed != NULL, borrow);
        CHECK(reply.large && reply.kept);
        CHECK_INT(reply.value.length, 1000);
        CHECK_INT(reply.value.as.bytes[0], 100);
        CHECK_INT(reply.value.as.bytes[999], 1099 % 256);
        drop(&reply);
    }
    rig_close(&rig);
}

TEST(what_is_borrowed_stays_when_everything_else_is_gone)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct bhp_reply reply;

    CHECK_INT(call(w, "aside", 0, true, &reply), BHP_LANE_REPLIED);
    rig_close(&rig);
    CHECK_INT(reply.value.as.bytes[999], 1099 % 256);
    drop(&reply);
}

TEST(a_payload_must_lie_in_the_segment)
{
    check_broken("aside", 1, "outside of the memory that was sent");
    check_broken("aside", 2, "outside of the memory that was sent");
    check_broken("aside", 3, "outside of the memory that was sent");
    check_broken("aside", 5, "outside of the memory that was sent");
}

TEST(an_array_beside_the_message_is_aligned)
{
    check_broken("aside", 4, "is not aligned");
}

TEST(only_blocks_lie_beside_the_message)
{
    for (int variant = 6; variant <= 9; variant++)
        check_broken("aside", variant, "of this type cannot lie beside");
    check_broken("aside", 14, "of this type cannot lie beside");
}

TEST(a_message_may_not_end_within_a_reference)
{
    check_broken("aside", 10, "ends within a reference");
}

TEST(a_string_beside_the_message_is_checked_in_its_copy)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct bhp_reply reply;

    CHECK_INT(call(w, "aside", 11, true, &reply), BHP_LANE_REPLIED);
    CHECK(reply.borrowed == NULL);
    CHECK_STR(reply.value.as.string, "abcdefgh");
    drop(&reply);
    expect_broken(w, "aside", 12, "a string beside it is not valid UTF-8");
    rig_close(&rig);
}

TEST(memory_that_is_named_often_counts_each_time)
{
    static struct rig rig;

    rig_init(&rig, "normal");
    rig.options.max_reply_bytes = 1 << 20;
    rig_open(&rig);
    expect_broken(rig_ready(&rig), "aside", 13, "beside the message are too large");
    rig_close(&rig);
}

TEST(a_reference_needs_a_segment)
{
    check_broken("aside_nothing", 0, "no memory was sent");
}

TEST(a_segment_has_the_seals_that_keep_its_pages)
{
    check_broken("odd_side", 0, "is not sealed");
    check_broken("odd_side", 1, "is not sealed");
}

TEST(a_segment_has_no_holes)
{
    check_broken("odd_side", 2, "has holes");
}

TEST(a_segment_has_a_sensible_size)
{
    check_broken("odd_side", 3, "in a segment of 4294967296 bytes");
    check_broken("odd_side", 4, "in a segment of 0 bytes");
}

TEST(a_segment_is_in_plain_memory)
{
    check_broken("odd_side", 5, "is not in plain memory");
}

static struct rig_worker *with_a_segment(struct rig *rig)
{
    struct rig_worker *w = rig_one(rig);
    struct bhp_reply reply;

    CHECK_INT(call(w, "old_side", 0, false, &reply), BHP_LANE_REPLIED);
    drop(&reply);
    return w;
}

TEST(a_segment_can_be_named_again)
{
    static struct rig rig;
    struct rig_worker *w = with_a_segment(&rig);
    struct bhp_reply reply;

    for (int i = 0; i < 3; i++) {
        CHECK_INT(call(w, "old_side", 0, i % 2 == 1, &reply), BHP_LANE_REPLIED);
        CHECK_INT(reply.value.as.bytes[999], 1099 % 256);
        drop(&reply);
    }
    CHECK_INT(call(w, "aside", 0, false, &reply), BHP_LANE_REPLIED); /* another takes its place */
    drop(&reply);
    expect_broken(w, "old_side", 0, "did not send the segment");
    rig_close(&rig);
}

TEST(a_segment_does_not_change_its_size)
{
    static struct rig rig;

    expect_broken(with_a_segment(&rig), "old_side", 1, "has 8192 bytes, not 16384");
    rig_close(&rig);
}

TEST(a_segment_that_never_came_cannot_be_named)
{
    static struct rig rig;

    expect_broken(with_a_segment(&rig), "old_side", 2, "did not send the segment");
    rig_close(&rig);
}

TEST(a_segment_that_was_dropped_cannot_be_named)
{
    static struct rig rig;
    struct rig_worker *w = with_a_segment(&rig);
    struct bhp_reply reply;

    CHECK_INT(call(w, "old_side", 3, false, &reply), BHP_LANE_REPLIED);
    CHECK(!reply.kept);
    drop(&reply);
    expect_broken(w, "old_side", 0, "did not send the segment");
    rig_close(&rig);
}

TEST(a_message_must_lie_in_the_segment)
{
    static struct rig rig;

    expect_broken(with_a_segment(&rig), "old_side", 4, "16 bytes is in a segment of 8192");
    rig_close(&rig);
}

TEST(mail_that_no_reply_needs_is_thrown_away)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);

    for (int i = 0; i < 100; i++)
        CHECK_INT(rig_int(w, "many_mails", i % 16), 5);
    expect_broken(w, "many_mails", 100, "fills its control socket");
    rig_close(&rig);
}

TEST(a_text_that_changes_while_it_is_read_is_good_or_refused)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct bhp_reply reply;

    for (int i = 0; i < 30; i++) {
        enum bhp_lane_end end = call(w, "restless", 0, i % 2 == 1, &reply);
        CHECK(end == BHP_LANE_REPLIED || end == BHP_LANE_BROKEN);
        if (end == BHP_LANE_REPLIED)
            CHECK(bhi_utf8_valid(reply.value.as.string, (size_t)reply.value.length));
        drop(&reply);
    }
    rig_close(&rig);
}

/* ---- giving back ---- */

static bool maps(int64_t pid, const char *name)
{
    char path[64], line[512];
    bool found = false;

    snprintf(path, sizeof(path), "/proc/%lld/maps", (long long)pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        found = found || strstr(line, name) != NULL;
    if (file != NULL)
        fclose(file);
    return found;
}

TEST(trimming_gives_back_what_was_kept)
{
    static struct rig rig;
    static unsigned char bytes[200000];
    struct rig_worker *w = with_a_segment(&rig);
    bh_value value = bh_value_view_bytes(bytes, sizeof(bytes));
    bhp_memory *trimmed[BHP_TRIMMED] = {NULL};
    struct bhp_reply reply;

    CHECK_INT(rig_call(w, "sum", &value, &reply), BHP_LANE_REPLIED);
    CHECK(reply.kept && reply.large);
    drop(&reply);
    CHECK_INT(rig_int(w, "echo", 1), 1);
    CHECK(maps(getpid(), "memfd:side") && maps(getpid(), "memfd:bulkhead-segment"));
    bhp_lane_trim(w->worker, NULL, trimmed);
    for (unsigned i = 0; i < BHP_TRIMMED; i++)
        bhp_memory_free(trimmed[i]);
    CHECK(!maps(getpid(), "memfd:side") && !maps(getpid(), "memfd:bulkhead-segment"));
    CHECK_INT(rig_call(w, "sum", &value, &reply), BHP_LANE_REPLIED); /* in a new one */
    drop(&reply);
    expect_broken(w, "old_side", 0, "did not send the segment");
    rig_close(&rig);
}
