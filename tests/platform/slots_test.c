/* SPDX-License-Identifier: MIT */
/*
 * The dispatcher's side of the slots, with a worker made by hand that obeys the protocol or breaks
 * it: putting, taking, taking back, the worker's end.
 */
#include "rig.h"

#include "platform/linux/protocol.h"

static struct rig rig;

static struct rig_worker *open_one(void)
{
    rig_init(&rig, "normal");
    rig.options.worker = BH_TEST_DIR "/raw_slots_worker";
    rig_open(&rig);
    return rig_ready(&rig);
}

static struct bhp_call call_of(struct rig_worker *w, uint64_t serial, const char *method,
                               const bh_value *argument)
{
    return (struct bhp_call){.serial = serial,
                             .method = method,
                             .arguments = argument,
                             .argument_count = 1,
                             .stop = &w->stop};
}

/* @return its serial */
static uint64_t put(struct rig_worker *w, const char *method)
{
    uint64_t serial = atomic_fetch_add(&rig.serial, 1) + 1;
    const bh_value argument = bh_value_int64((int64_t)serial);
    const struct bhp_call call = call_of(w, serial, method, &argument);

    CHECK_INT(bhp_lane_put(w->worker, &call), BHP_PUT_DONE);
    return serial;
}

static enum bhp_lane_end next(struct rig_worker *w, uint64_t serial, struct bhp_reply *reply)
{
    const struct bhp_call call = call_of(w, serial, "", NULL);

    memset(reply, 0, sizeof(*reply));
    return bhp_lane_next(w->worker, &call, reply);
}

static void expect(struct rig_worker *w, uint64_t serial, enum bhp_lane_end expected)
{
    struct bhp_reply reply;
    int64_t echoed = 0;
    enum bhp_lane_end end = next(w, serial, &reply);

    if (end != expected)
        FAIL("request %llu: end %d, %s", (unsigned long long)serial, (int)end,
             reply.text ? reply.text : "");
    if (end == BHP_LANE_REPLIED) {
        CHECK_INT(bh_value_get_int64(&reply.value, &echoed), BH_OK);
        CHECK_INT(echoed, serial);
    }
    rig_drop(&reply);
}

static struct bhp_box await_start(struct rig_worker *w, uint64_t serial)
{
    struct bhp_box box = {0};

    while (box.started < serial)
        bhp_worker_box(w->worker, &box);
    return box;
}

/* ---- a decent worker ---- */

TEST(they_go_there_and_back)
{
    struct rig_worker *w = open_one();
    uint64_t serials[300];

    for (unsigned round = 1; round <= BHL_SLOTS; round++) {
        for (unsigned i = 0; i < round; i++)
            serials[i] = put(w, "echo");
        for (unsigned i = 0; i < round; i++)
            expect(w, serials[i], BHP_LANE_REPLIED);
    }
    for (unsigned i = 0; i < 300; i++) { /* always some of them on their way */
        serials[i] = put(w, "echo");
        if (i >= 5)
            expect(w, serials[i - 5], BHP_LANE_REPLIED);
    }
    for (unsigned i = 295; i < 300; i++)
        expect(w, serials[i], BHP_LANE_REPLIED);
    CHECK_INT(rig_int(w, "echo", 5), 5); /* and then a single one */
    expect(w, put(w, "echo"), BHP_LANE_REPLIED);
    rig_close(&rig);
}

TEST(there_is_room_for_so_many)
{
    struct rig_worker *w = open_one();
    const bh_value argument = bh_value_int64(1);
    uint64_t first = put(w, "echo");

    for (unsigned i = 1; i < BHL_SLOTS; i++)
        put(w, "echo");
    struct bhp_call call = call_of(w, rig.serial + 1, "echo", &argument);
    CHECK_INT(bhp_lane_put(w->worker, &call), BHP_PUT_FULL);
    expect(w, first, BHP_LANE_REPLIED);
    put(w, "echo");
    for (uint64_t serial = first + 1; serial <= rig.serial; serial++)
        expect(w, serial, BHP_LANE_REPLIED);
    rig_close(&rig);
}

TEST(what_does_not_fit_is_not_put)
{
    static unsigned char bytes[BHL_SLOT_BYTES];
    struct rig_worker *w = open_one();
    const bh_value large = bh_value_view_bytes(bytes, sizeof(bytes)),
                   fits = bh_value_view_bytes(bytes, sizeof(bytes) - 8),
                   broken = bh_value_view_string("\xff", 1);
    struct bhp_call call = call_of(w, 1, "echo", &large);
    struct bhp_reply reply;

    CHECK_INT(bhp_lane_put(w->worker, &call), BHP_PUT_UNFIT);
    call.arguments = &broken;
    CHECK_INT(bhp_lane_put(w->worker, &call), BHP_PUT_UNFIT);
    call.method = "no such method";
    CHECK_INT(bhp_lane_put(w->worker, &call), BHP_PUT_UNFIT);
    call.method = "echo";
    call.arguments = &fits;
    CHECK_INT(bhp_lane_put(w->worker, &call), BHP_PUT_DONE);
    CHECK_INT(next(w, 1, &reply), BHP_LANE_REPLIED);
    CHECK(bh_value_equal(&reply.value, &fits));
    rig_drop(&reply);
    rig_close(&rig);
}

/* ---- taking back ---- */

/* Rings for what was put, without waiting: the worker begins. */
struct taker {
    struct rig_worker *w;
    uint64_t serial;
    enum bhp_lane_end end;
    pthread_t thread;
};

static void *take_on_thread(void *context)
{
    struct taker *taker = context;
    struct bhp_reply reply;

    taker->end = next(taker->w, taker->serial, &reply);
    rig_drop(&reply);
    return NULL;
}

static void take_begin(struct taker *taker, struct rig_worker *w, uint64_t serial)
{
    *taker = (struct taker){.w = w, .serial = serial};
    CHECK_INT(pthread_create(&taker->thread, NULL, take_on_thread, taker), 0);
}

static enum bhp_lane_end take_end(struct taker *taker)
{
    CHECK_INT(pthread_join(taker->thread, NULL), 0);
    return taker->end;
}

TEST(what_has_not_started_is_taken_back)
{
    struct rig_worker *w = open_one();
    struct taker taker;
    uint64_t first = put(w, "patient"), second = put(w, "echo"), third = put(w, "echo"),
             fourth = put(w, "echo");

    take_begin(&taker, w, first);
    CHECK_INT(await_start(w, first).started, first);
    CHECK_INT(bhp_lane_revoke(w->worker, second), BHP_REVOKED);
    CHECK_INT(bhp_lane_revoke(w->worker, fourth), BHP_REVOKED);
    CHECK_INT(bhp_lane_revoke(w->worker, first), BHP_REVOKE_LATE);
    bhp_worker_nudge(w->worker, first);
    CHECK_INT(take_end(&taker), BHP_LANE_REPLIED);
    expect(w, third, BHP_LANE_REPLIED);
    CHECK_INT(rig_int(w, "echo", 7), 7); /* a single one, whatever the worker is at */
    expect(w, put(w, "echo"), BHP_LANE_REPLIED);
    rig_close(&rig);
}

/* Fills all slots and takes all of them back while the worker sleeps. @return false: it did not */
static bool revoke_all(struct rig_worker *w)
{
    uint64_t first = put(w, "echo");
    bool asleep = true;

    for (unsigned i = 1; i < BHL_SLOTS; i++)
        put(w, "echo");
    for (uint64_t serial = first; serial < first + BHL_SLOTS; serial++) {
        struct bhp_reply reply;
        if (bhp_lane_revoke(w->worker, serial) == BHP_REVOKED)
            continue;
        asleep = false;
        next(w, serial, &reply);
        rig_drop(&reply);
    }
    return asleep;
}

TEST(a_slot_that_was_taken_back_is_the_workers_until_it_has_seen_that)
{
    struct rig_worker *w = open_one();
    const bh_value argument = bh_value_int64(1);
    unsigned tries = 0;

    expect(w, put(w, "echo"), BHP_LANE_REPLIED);
    while (!revoke_all(w) && tries++ < 100)
        CHECK_INT(rig_int(w, "echo", 5), 5);
    CHECK(tries < 100);
    struct bhp_call call = call_of(w, rig.serial + 1, "echo", &argument);
    CHECK_INT(bhp_lane_put(w->worker, &call), BHP_PUT_FULL);
    CHECK_INT(rig_int(w, "echo", 5), 5); /* by then it has passed them */
    for (unsigned round = 0; round < 2; round++) {
        uint64_t first = put(w, "echo");
        for (unsigned i = 1; i < BHL_SLOTS; i++)
            put(w, "echo");
        for (unsigned i = 0; i < BHL_SLOTS; i++)
            expect(w, first + i, BHP_LANE_REPLIED);
    }
    rig_close(&rig);
}

/* Takers and givers in a race: whatever comes of it, nothing is both taken back and served. */
TEST(a_race_for_a_slot_has_one_winner)
{
    struct rig_worker *w = open_one();
    unsigned back = 0, late = 0, given = 0;

    for (unsigned round = 0; round < 3000; round++) {
        uint64_t first = put(w, "echo"), second = put(w, "echo"), third = put(w, "echo");
        expect(w, first, BHP_LANE_REPLIED); /* the worker is on its way to the second */
        if (bhp_lane_revoke(w->worker, second) == BHP_REVOKED) {
            back++;
        } else {
            struct bhp_reply reply;
            enum bhp_lane_end end = next(w, second, &reply);
            CHECK(end == BHP_LANE_REPLIED || end == BHP_LANE_GIVEN_BACK);
            late++;
            given += end == BHP_LANE_GIVEN_BACK;
            rig_drop(&reply);
        }
        expect(w, third, BHP_LANE_REPLIED);
    }
    printf("# %u taken back, %u too late, of which %u given back\n", back, late, given);
    rig_close(&rig);
}

/* ---- a worker that ends ---- */

TEST(what_was_committed_before_the_end_is_found)
{
    struct rig_worker *w = open_one();
    struct taker taker;
    uint64_t serials[5];
    static const char *const methods[] = {"echo", "echo", "crash", "echo", "echo"};

    for (unsigned i = 0; i < 5; i++)
        serials[i] = put(w, methods[i]);
    take_begin(&taker, w, serials[0]);
    CHECK_INT(take_end(&taker), BHP_LANE_REPLIED);
    rig_await(&rig, &w->exited, 1);
    CHECK_INT(w->obituary.box.started, serials[2]);
    CHECK_INT(w->obituary.box.committed, serials[1]);
    CHECK_INT(bhp_lane_revoke(w->worker, serials[4]), BHP_REVOKED);
    expect(w, serials[1], BHP_LANE_REPLIED);
    expect(w, serials[2], BHP_LANE_LOST);
    expect(w, serials[3], BHP_LANE_LOST);
    rig_close(&rig);
}

TEST(an_end_wakes_who_waits)
{
    struct rig_worker *w = open_one();
    struct taker taker;
    uint64_t first = put(w, "hang");

    take_begin(&taker, w, first);
    await_start(w, first);
    bhp_worker_kill(w->worker);
    rig_await(&rig, &w->exited, 1);
    CHECK_INT(take_end(&taker), BHP_LANE_LOST);
    rig_close(&rig);
}

/* ---- a worker that breaks the protocol ---- */

static void check_broken(const char *method, const char *text)
{
    struct rig_worker *w = open_one();
    struct bhp_reply reply;

    expect(w, put(w, "echo"), BHP_LANE_REPLIED);
    uint64_t serial = put(w, method);
    put(w, "echo");
    CHECK_INT(next(w, serial, &reply), BHP_LANE_BROKEN);
    CHECK_CONTAINS(reply.text, text);
    CHECK_INT(reply.value.type, BH_NULL);
    rig_drop(&reply);
    rig_close(&rig);
}

TEST(a_request_that_was_never_given_is_broken)
{
    check_broken("jump", "done with request 1002, which it was not given");
}

TEST(a_reply_that_is_not_there_is_broken)
{
    check_broken("stale", "where its reply to request 2 should be, it has one to 0");
}

TEST(a_reply_to_another_is_broken)
{
    check_broken("foreign", "where its reply to request 2 should be, it has one to 3");
}

TEST(what_was_not_taken_back_cannot_be_given_back)
{
    check_broken("back", "it gave request 2 back, which it was to serve");
}

TEST(a_reply_past_its_slot_is_broken)
{
    check_broken("too_long", "has 520 bytes where 512 fit");
}

TEST(an_unknown_status_is_broken)
{
    check_broken("status", "unknown status 77");
}

TEST(garbage_is_broken)
{
    check_broken("garbage", "malformed");
}

TEST(a_segment_must_come)
{
    check_broken("no_segment", "did not send the segment");
}

TEST(who_is_ahead_of_himself_is_broken)
{
    static const char *const methods[] = {"ahead", "far_ahead"};

    for (unsigned i = 0; i < 2; i++) {
        struct rig_worker *w = open_one();
        struct taker taker;
        uint64_t first = put(w, methods[i]), second = put(w, "echo"), third = put(w, "echo");
        take_begin(&taker, w, first);
        await_start(w, second);
        CHECK_INT(bhp_lane_revoke(w->worker, i == 0 ? second : third), BHP_REVOKE_BROKEN);
        bhp_worker_kill(w->worker);
        rig_await(&rig, &w->exited, 1);
        CHECK_INT(take_end(&taker), BHP_LANE_LOST);
        rig_close(&rig);
    }
}

TEST(rings_for_nothing_are_borne)
{
    struct rig_worker *w = open_one();
    uint64_t first = put(w, "rings"), second = put(w, "echo");

    expect(w, first, BHP_LANE_REPLIED);
    expect(w, second, BHP_LANE_REPLIED);
    rig_close(&rig);
}
